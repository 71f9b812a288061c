//! The command line: arguments to calls of the engine, results to text or JSON.

mod args;
mod binding_lines;
mod bindings;
mod bytes;
mod daemon;
mod diff;
mod doctor;
mod edit;
mod flows;
mod frames;
mod history;
mod hook_log;
mod import;
mod libvirt;
mod migrate;
mod profiles;
mod progress;
mod sets;
mod show;
mod standing;
mod table;
mod timeouts;
mod upgrade;
mod virsh;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use args::{Cli, Command, CompileArgs, ExplainArgs};

use crate::datapath::{Datapath, DatapathError};
use crate::service::failure::{CHECK, Failure, INVALID, NOT_FOUND, USAGE};
use crate::service::{Client, Compile, Explain, Explanations, FrameOf, Method, Outcome, Stats, Subject};
use crate::store::Folders;

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let arguments: Vec<OsString> = env::args_os().skip(1).collect();
            let Some(misuse) = virsh::misuse(&arguments, &error) else { error.exit() };
            eprintln!("error: {misuse}");
            return ExitCode::FAILURE;
        }
    };
    let json = cli.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                say(&format!(
                    "{}\n",
                    json!({ "error": { "code": failure.code, "message": failure.message } })
                ));
            } else {
                eprintln!("{failure}");
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    if cli.if_generation.is_some() && !cli.command.changes() {
        return Err(Failure::new(USAGE, "--if-generation is for commands that change what is configured"));
    }
    let folders = Folders::new(cli.root.as_deref(), cli.bpffs.as_deref());
    let client = Client::new(folders.clone(), cli.keep_generations).if_generation(cli.if_generation);
    let context = Context { client, folders, json: cli.json };
    match cli.command {
        Command::Define { file, reading, change, dry_run: true } => {
            context.try_out(&file, reading.reading(), change, false)
        }
        Command::Update { file, reading, change, dry_run: true } => {
            context.try_out(&file, reading.reading(), change, true)
        }
        Command::Define { file, reading, change, .. } => context.define(&file, reading.reading(), change),
        Command::Undefine { name } => context.undefine(&name),
        Command::Create { file, reading, change } => context.create(&file, reading.reading(), change),
        Command::Destroy { name } => context.destroy(&name),
        Command::List => context.list(),
        Command::Dumpxml { name, dialect, drop_snap } => context.dumpxml(&name, dialect, drop_snap),
        Command::Update { file, reading, change, .. } => context.update(&file, reading.reading(), change),
        Command::Edit { name, reading, change } => context.edit(&name, reading, change),
        Command::CreateFrom { name, new } => context.create_from(&name, &new),
        Command::Validate { files, profile_dir, reading } => {
            context.validate(&files, profile_dir.as_deref(), reading.reading())
        }
        Command::Import { folder, keep_going, dry_run, reading, change } => {
            context.import(&folder, reading.reading(), change, (keep_going, dry_run))
        }
        Command::Attach { ports, bindings, binding, change, kernel_log } => {
            context.attach(&ports, bindings.as_deref(), &binding.binding(), (change, kernel_log))
        }
        Command::Detach { ports } => context.detach(&ports),
        Command::Ports => context.ports(),
        Command::Bind(args) => context.bind(*args),
        Command::Unbind { name, detach } => context.unbind(&name, detach),
        Command::Bindings => context.list_standing(),
        Command::Daemon { config } => context.daemon(config.as_deref()),
        Command::Events { count } => context.events(count),
        Command::Config { command } => context.config(command),
        Command::BindingCreate { file, reading, port } => {
            context.binding_create(&file, reading.reading(), port)
        }
        Command::BindingDelete { port } => context.binding_delete(&port),
        Command::BindingList => context.binding_list(),
        Command::BindingDumpxml { port } => context.binding_dumpxml(&port),
        Command::Stats { port, watch, all, expand } => context.stats(&port, watch, all, expand),
        Command::Set { command } => context.set(command),
        Command::Flows(args) => context.flows(args),
        Command::Migrate { command } => context.migrate(command),
        Command::Diff { profiles, reading, change } => context.diff(&profiles, reading.reading(), change),
        Command::Log(args) => context.log(&args),
        Command::Rollback { generation, dry_run, change } => context.roll_back(generation, dry_run, change),
        Command::RestoreProfile { name, change } => context.restore_profile(&name, change),
        Command::Timeouts { command } => context.timeouts(command),
        Command::Libvirt { command } => context.libvirt(command, [cli.root.as_deref(), cli.bpffs.as_deref()]),
        Command::Virsh(command) => virsh::run(&context, &command),
        Command::Compile(args) => context.compile(&args),
        Command::Explain(args) => context.explain(&args),
        Command::Doctor(args) => context.doctor(&args),
        Command::Upgrade(args) => context.upgrade(args),
        Command::KernelLog { once } => context.kernel_log(once),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "filter-ctl", &mut io::stdout());
            Ok(())
        }
        Command::Man { folder } => {
            std::fs::create_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
            clap_mangen::generate_to(Cli::command(), &folder).map_err(|error| Failure::io(&folder, &error))
        }
    }
}

/// Writes to standard output; a reader that went away is no failure.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// What all commands share.
struct Context {
    folders: Folders,
    client: Client,
    json: bool,
}

impl Context {
    /// Has a request carried out.
    fn call<M: Method>(&self, method: M) -> Result<M::Reply, Failure> {
        self.client.call(method)
    }

    /// Prints what a change came to: with what was found damaged, and in JSON with the generation that the store has then.
    fn print_changed(
        &self,
        value: &impl serde::Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let Outcome { generation, notes } = self.client.outcome();
        if !self.json {
            for note in notes {
                eprintln!("filter-ctl: {note}");
            }
            return self.print(value, text);
        }
        let wrong = |error: serde_json::Error| Failure::new(1, error.to_string());
        let mut value = serde_json::to_value(value).map_err(wrong)?;
        let mark = |value: &mut serde_json::Value| {
            let Some(fields) = value.as_object_mut() else { return };
            if let Some(generation) = generation {
                fields.insert("generation".to_owned(), json!(generation));
            }
            if !notes.is_empty() {
                fields.insert("notes".to_owned(), json!(notes));
            }
        };
        match &mut value {
            serde_json::Value::Array(results) => results.iter_mut().for_each(mark),
            result => mark(result),
        }
        self.print(&value, text)
    }

    #[allow(clippy::unnecessary_wraps, reason = "it ends commands, which return this")]
    fn print(&self, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            let value = serde_json::to_string(value).map_err(|error| Failure::new(1, error.to_string()))?;
            say(&format!("{value}\n"));
        } else {
            say(&text());
        }
        Ok(())
    }

    fn stats(&self, port: &str, watch: Option<u64>, all: bool, expand: bool) -> Result<(), Failure> {
        let mut before = None;
        self.watch(Stats { port: port.to_owned(), by_value: expand }, watch, |stats| {
            if expand && !stats.counts_values && before.is_none() && !self.json {
                eprintln!(
                    "filter-ctl: {port} counts rules over lists as a whole; `attach {port} … --count-values` counts \
                     them value by value"
                );
            }
            self.print(&stats, || show::stats(&stats, all, before.as_ref()))?;
            before = Some(stats);
            Ok(())
        })
    }

    /// Has a request carried out, once or each so many seconds, and gives what it comes to to `each`, to be printed: on a
    /// terminal in the place of what was there.
    fn watch<M: Method + Clone>(
        &self,
        method: M,
        every: Option<u64>,
        mut each: impl FnMut(M::Reply) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(seconds) = every else { return each(self.call(method)?) };
        let mut printed = Ok(());
        self.client.watch(&method, Duration::from_secs(seconds), |reply| {
            if !self.json && io::stdout().is_terminal() {
                // To the top left corner, and clear what is below.
                say("\x1b[H\x1b[2J");
            }
            printed = each(reply);
            if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        printed
    }

    fn kernel_log(&self, once: bool) -> Result<(), Failure> {
        let fail = |error: DatapathError| Failure::engine(&error.into(), &self.folders, None);
        let datapath = Datapath::look_at(&self.folders.bpffs).map_err(fail)?.ok_or_else(|| {
            Failure::new(NOT_FOUND, "the classifiers are not loaded; `attach` loads them with the first port")
        })?;
        let json = self.json;
        let mut diagnostics = datapath
            .diagnostics(move |line| {
                if json {
                    say(&format!("{}\n", json!({ "message": line })));
                } else {
                    say(&format!("{line}\n"));
                }
            })
            .map_err(fail)?;
        loop {
            diagnostics.read(if once { Duration::ZERO } else { Duration::from_secs(3600) });
            if once {
                return Ok(());
            }
        }
    }

    fn compile(&self, args: &CompileArgs) -> Result<(), Failure> {
        let among = profiles::in_folder(args.profile_dir.as_deref())?;
        let compiled = self.call(Compile { binding: args.binding(), among })?;
        self.print(&compiled, || show::compiled(&compiled, args.explain))
    }

    fn explain(&self, args: &ExplainArgs) -> Result<(), Failure> {
        let frames = match (&args.hex, &args.read, &args.frames) {
            (Some(hex), _, _) => {
                let hex =
                    frames::from_hex(hex).map_err(|what| Failure::new(INVALID, format!("--hex: {what}")))?;
                vec![FrameOf { hex, dir: args.dir }]
            }
            (_, Some(path), _) => frames::from_capture(path, args.dir)?,
            (_, _, Some(path)) => frames::from_lines(path, args.dir)?,
            (None, None, None) => return Err(Failure::new(USAGE, "no frame was given")),
        };
        let subject = Subject {
            port: args.port.clone(),
            binding: args.port.is_none().then(|| args.binding()),
            among: profiles::in_folder(args.profile_dir.as_deref())?,
        };
        let Explanations { frames, failure } = self.call(Explain { subject, frames })?;
        for explained in &frames {
            self.print(explained, || show::explained(explained))?;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let disagreements = frames.iter().filter(|explained| explained.disagrees.is_some()).count();
        if disagreements == 0 {
            return Ok(());
        }
        Err(Failure::new(
            CHECK,
            format!("the loaded program and the reference interpreter disagree on {disagreements} frames"),
        ))
    }
}
