//! What is compared: filters that can be put on a bed, and taken away again.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::bed::Bed;
use super::policy::Policy;

/// How long a filter may take to load rules.
const LIMIT: Duration = Duration::from_secs(60);

/// A filter.
pub trait Filter {
    /// Its name in tables and plots.
    fn name(&self) -> &'static str;

    /// Whether it has words for such a policy at all.
    fn knows(&self, policy: &Policy) -> bool {
        matches!(policy, Policy::Rules(_))
    }

    /// Puts the policy in force. If it fails, nothing is.
    fn install(&mut self, bed: &Bed, policy: &Policy) -> Result<()>;

    /// Takes it away.
    fn remove(&mut self, bed: &Bed) -> Result<()>;
}

/// No filter: what the way itself costs.
#[derive(Debug)]
pub struct Nothing;

impl Filter for Nothing {
    fn name(&self) -> &'static str {
        "none"
    }

    fn knows(&self, _: &Policy) -> bool {
        true
    }

    fn install(&mut self, _: &Bed, _: &Policy) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &Bed) -> Result<()> {
        Ok(())
    }
}

/// Runs a program in the bed's namespace and gives it `input`. One that takes too long is ended.
pub fn load(bed: &Bed, program: &str, arguments: &[&str], input: &str) -> Result<()> {
    bed.namespace.run(|| {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut stdin = child.stdin.take().context("a program that was given a pipe has one")?;
        // A program that ends early says why, which is worth more than that its pipe broke.
        let written = stdin.write_all(input.as_bytes());
        drop(stdin);
        wait(&mut child, program)?;
        let output = child.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first = complaint.lines().next().unwrap_or("it does not say why");
        ensure!(output.status.success(), "{program} refuses the rules: {first}");
        written.with_context(|| format!("{program} did not read its rules"))
    })
}

fn wait(child: &mut Child, program: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("{program} did not load the rules within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
