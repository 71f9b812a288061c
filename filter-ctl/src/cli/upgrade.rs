//! `upgrade`: this build's programs in the place of those that are loaded.

use clap::Args;

use super::Context;
use crate::datapath::{Build, LogLevel};
use crate::service::failure::{CHECK, Failure};
use crate::service::{GetBuilds, KnownBuilds, Upgrade, Upgraded};

/// How programs are replaced.
#[derive(Clone, Copy, Debug, Args)]
pub struct UpgradeArgs {
    /// Only say whether they would be; exit with 7 if so.
    #[arg(long, conflicts_with_all = ["again", "kernel_log"])]
    pub check: bool,
    /// Replace them even if they are the same.
    #[arg(long)]
    pub again: bool,
    /// Which diagnostics the classifiers log from now on; without it, what they logged before.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub kernel_log: Option<LogLevel>,
}

const NOTHING: &str = "nothing is loaded; `attach` loads this build's programs with the first port\n";

impl Context {
    pub(super) fn upgrade(&self, args: UpgradeArgs) -> Result<(), Failure> {
        if args.check {
            return self.check_upgrade();
        }
        let Upgraded { replaced } = self.call(Upgrade { kernel_log: args.kernel_log, again: args.again })?;
        self.print(&replaced, || match &replaced {
            None => NOTHING.to_owned(),
            Some(same) if !same.replaced => format!("the programs are of this build already, {}\n", same.now),
            Some(replaced) => {
                format!(
                    "the programs are replaced, {} by {}, on {}\n",
                    name(replaced.before.as_ref()),
                    replaced.now,
                    super::show::count(replaced.ports, "port", "ports")
                )
            }
        })?;
        let failed = replaced.map(|replaced| replaced.failed).unwrap_or_default();
        if failed.is_empty() {
            return Ok(());
        }
        let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
        let message = format!(
            "interfaces {} could not be given the new programs, and go on with the old ones; `filter-ctl doctor` says more",
            failed.join(", ")
        );
        Err(Failure::said(CHECK, message, self.json))
    }

    fn check_upgrade(&self) -> Result<(), Failure> {
        let KnownBuilds { builds } = self.call(GetBuilds {})?;
        self.print(&builds, || match &builds {
            None => NOTHING.to_owned(),
            Some(builds) if builds.agree() => format!("the programs are of this build, {}\n", builds.own),
            Some(builds) => format!(
                "the programs are of {}, this is {}; `filter-ctl upgrade` replaces them\n",
                name(builds.pinned.as_ref()),
                builds.own
            ),
        })?;
        match builds {
            Some(builds) if !builds.agree() => {
                Err(Failure::said(CHECK, "an upgrade is due".to_owned(), self.json))
            }
            _ => Ok(()),
        }
    }
}

fn name(build: Option<&Build>) -> String {
    build.map_or_else(|| "a build without a name".to_owned(), ToString::to_string)
}
