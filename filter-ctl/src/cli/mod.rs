//! The command line: arguments to calls of the engine, results to text or JSON.

mod args;
mod edit;
mod failure;
mod frames;
mod show;
mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use args::{Cli, Command, ExplainArgs};
use failure::{CHECK, Failure, INVALID, NOT_FOUND};

use crate::datapath::{Datapath, DatapathError, LoadOptions, LogLevel};
use crate::engine::{self, Engine, EngineError, Explainer};
use crate::model::{Profile, ProfileName, ValueError};
use crate::store::{Folders, Profiles};
use crate::xml::{self, filter_entry};

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
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
                eprintln!("filter-ctl: {}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let context =
        Context { folders: Folders::new(cli.root.as_deref(), cli.bpffs.as_deref()), json: cli.json };
    match cli.command {
        Command::Create { file } => context.create(&file),
        Command::Destroy { name } => context.destroy(&name),
        Command::List => context.list(),
        Command::Dumpxml { name } => context.dumpxml(&name),
        Command::Update { file } => context.update(&file),
        Command::Edit { name } => context.edit(&name),
        Command::CreateFrom { name, new } => context.create_from(&name, &new),
        Command::Validate { files, profile_dir } => context.validate(&files, profile_dir.as_deref()),
        Command::Attach { port, binding, kernel_log } => {
            let options = LoadOptions { log: kernel_log };
            if kernel_log != LogLevel::Off
                && Datapath::look_at(&context.folders.bpffs).is_ok_and(|it| it.is_some())
            {
                eprintln!(
                    "filter-ctl: the classifiers are loaded already, and go on logging as they were loaded to"
                );
            }
            let attached = context
                .engine_with(options)?
                .attach(&port, binding.binding())
                .map_err(|e| context.failure(&e))?;
            context.print(&attached, || show::attached(&attached))
        }
        Command::Detach { port } => {
            context.engine()?.detach(&port).map_err(|e| context.failure(&e))?;
            context.print(&json!({ "detached": port }), || format!("{port} is not filtered any more\n"))
        }
        Command::Ports => {
            let (ports, damaged) = engine::ports(&context.folders).map_err(|e| context.failure(&e))?;
            for problem in damaged {
                eprintln!("filter-ctl: {problem}");
            }
            context.print(&ports, || show::ports(&ports))
        }
        Command::Stats { port, watch, all } => context.stats(&port, watch, all),
        Command::Explain(args) => context.explain(&args),
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
    json: bool,
}

impl Context {
    fn engine(&self) -> Result<Engine, Failure> {
        self.engine_with(LoadOptions::default())
    }

    fn engine_with(&self, options: LoadOptions) -> Result<Engine, Failure> {
        Engine::open(self.folders.clone(), options).map_err(|error| self.failure(&error))
    }

    fn profiles(&self) -> Result<Profiles, Failure> {
        Profiles::load(&self.folders.profiles).map_err(|error| self.failure(&error.into()))
    }

    fn failure(&self, error: &EngineError) -> Failure {
        Failure::engine(error, &self.folders, None)
    }

    /// A failure about a profile that was read from `file`.
    fn failure_in(&self, error: &EngineError, file: &Path, profile: &ProfileName) -> Failure {
        Failure::engine(error, &self.folders, Some((file, profile.as_str())))
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

    fn create(&self, file: &Path) -> Result<(), Failure> {
        let profile = xml::read_profile(file)?;
        let name = profile.name.clone();
        self.engine()?.create(profile).map_err(|error| self.failure_in(&error, file, &name))?;
        self.print(&json!({ "created": name.as_str() }), || format!("{name} is created\n"))
    }

    fn create_from(&self, name: &str, new: &str) -> Result<(), Failure> {
        let (name, new) = (profile_name(name)?, profile_name(new)?);
        self.engine()?.create_from(&name, new.clone()).map_err(|error| self.failure(&error))?;
        self.print(&json!({ "created": new.as_str() }), || format!("{new} is created from {name}\n"))
    }

    fn destroy(&self, name: &str) -> Result<(), Failure> {
        let updated = self.engine()?.destroy(&profile_name(name)?).map_err(|error| self.failure(&error))?;
        self.print(&json!({ "destroyed": name, "ports": updated.ports }), || format!("{name} is destroyed\n"))
    }

    fn list(&self) -> Result<(), Failure> {
        let profiles = self.profiles()?;
        for (path, problem) in profiles.broken() {
            eprintln!("filter-ctl: {}:{problem}", path.display());
        }
        let list: Vec<_> = profiles
            .iter()
            .map(|(origin, profile)| {
                json!({
                    "name": profile.name.as_str(),
                    "origin": origin,
                    "default": profile.default.to_string(),
                    "items": profile.items.len(),
                    "references": profile.references().map(|other| other.profile.to_string()).collect::<Vec<_>>(),
                    "description": profile.description.as_ref().map(ToString::to_string),
                })
            })
            .collect();
        self.print(&list, || show::profiles(&profiles))
    }

    fn dumpxml(&self, name: &str) -> Result<(), Failure> {
        let profiles = self.profiles()?;
        let name = profile_name(name)?;
        let (_, profile) = profiles.get(&name).ok_or_else(|| no_profile(&name))?;
        let text = filter_entry::print(profile);
        self.print(&json!({ "name": name.as_str(), "xml": text }), || text.clone())
    }

    fn update(&self, file: &Path) -> Result<(), Failure> {
        let profile = xml::read_profile(file)?;
        let updated = self.update_to(profile, file)?;
        self.print(&updated, || show::updated(&updated))
    }

    fn update_to(&self, profile: Profile, file: &Path) -> Result<engine::Updated, Failure> {
        let name = profile.name.clone();
        self.engine()?.update(profile).map_err(|error| self.failure_in(&error, file, &name))
    }

    fn edit(&self, name: &str) -> Result<(), Failure> {
        let name = profile_name(name)?;
        let profiles = self.profiles()?;
        let (_, profile) = profiles.get(&name).ok_or_else(|| no_profile(&name))?;
        let updated = edit::edit(name.as_str(), &filter_entry::print(profile), |file| {
            let edited = xml::read_profile(file)?;
            if edited.name != name {
                let message = format!(
                    "{}: found a profile named `{}`, expected `{name}`; `create-from` makes a copy of another name",
                    file.display(),
                    edited.name
                );
                return Err(Failure::new(INVALID, message));
            }
            self.update_to(edited, file)
        })?;
        match updated {
            Some(updated) => self.print(&updated, || show::updated(&updated)),
            None => self.print(&json!({ "profile": name.as_str(), "ports": [] }), || {
                format!("{name} is unchanged\n")
            }),
        }
    }

    fn validate(&self, files: &[std::path::PathBuf], folder: Option<&Path>) -> Result<(), Failure> {
        let mut profiles = self.profiles()?;
        if let Some(folder) = folder {
            add_folder(&mut profiles, folder)?;
        }
        let mut results = Vec::new();
        let mut text = String::new();
        let mut bad = 0;
        // Files may refer to each other, in any order.
        for file in files {
            if let Ok(profile) = xml::read_profile(file) {
                profiles.add(profile);
            }
        }
        for file in files {
            let checked = xml::read_profile(file).map_err(Failure::from).and_then(|profile| {
                engine::validate(&profiles, &profile)
                    .map(|()| profile.name.clone())
                    .map_err(|error| self.failure_in(&error, file, &profile.name))
            });
            match checked {
                Ok(name) => {
                    results.push(json!({ "file": file, "valid": true, "profile": name.as_str() }));
                    text += &format!("{}: {name} is valid\n", file.display());
                }
                Err(failure) => {
                    bad += 1;
                    results.push(json!({ "file": file, "valid": false, "error": failure.message }));
                    if !self.json {
                        eprintln!("{}", failure.message);
                    }
                }
            }
        }
        self.print(&results, || text)?;
        if bad == 0 { Ok(()) } else { Err(Failure::new(CHECK, "").quiet(self.json, bad, files.len())) }
    }

    fn stats(&self, port: &str, watch: Option<u64>, all: bool) -> Result<(), Failure> {
        let mut before = None;
        loop {
            let stats = engine::stats(&self.folders, port).map_err(|error| self.failure(&error))?;
            if watch.is_some() && !self.json && io::stdout().is_terminal() {
                // To the top left corner, and clear what is below.
                say("\x1b[H\x1b[2J");
            }
            self.print(&stats, || show::stats(&stats, all, before.as_ref()))?;
            let Some(seconds) = watch else { return Ok(()) };
            before = Some(stats);
            thread::sleep(Duration::from_secs(seconds));
        }
    }

    fn kernel_log(&self, once: bool) -> Result<(), Failure> {
        let fail = |error: DatapathError| self.failure(&error.into());
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

    fn explain(&self, args: &ExplainArgs) -> Result<(), Failure> {
        let frames = match (&args.hex, &args.read, &args.frames) {
            (Some(hex), _, _) => {
                let bytes =
                    frames::from_hex(hex).map_err(|what| Failure::new(INVALID, format!("--hex: {what}")))?;
                vec![engine::FrameToExplain { bytes, direction: args.dir }]
            }
            (_, Some(path), _) => frames::from_capture(path, args.dir)?,
            (_, _, Some(path)) => frames::from_lines(path, args.dir)?,
            (None, None, None) => return Err(Failure::new(2, "no frame was given")),
        };
        let engine;
        let mut explainer = if let Some(port) = &args.port {
            engine = self.engine()?;
            Explainer::for_port(&engine, port).map_err(|error| self.failure(&error))?
        } else {
            let mut profiles = self.profiles()?;
            if let Some(folder) = &args.profile_dir {
                add_folder(&mut profiles, folder)?;
            }
            Explainer::for_binding(&profiles, &args.binding(), LoadOptions::default())
                .map_err(|error| self.failure(&error))?
        };
        let mut disagreements = 0;
        let mut outcome = Ok(());
        for frame in &frames {
            match explainer.explain(frame) {
                Ok(explained) => {
                    disagreements += usize::from(explained.disagrees.is_some());
                    self.print(&explained, || show::explained(&explained))?;
                }
                Err(error) => {
                    outcome = Err(self.failure(&error));
                    break;
                }
            }
        }
        explainer.finish().map_err(|error| self.failure(&error.into()))?;
        outcome?;
        if disagreements == 0 {
            return Ok(());
        }
        Err(Failure::new(
            CHECK,
            format!("the loaded program and the reference interpreter disagree on {disagreements} frames"),
        ))
    }
}

impl Failure {
    /// For `validate`, which has said on its own what is wrong.
    fn quiet(self, json: bool, bad: usize, all: usize) -> Self {
        if json {
            self
        } else {
            Self { message: format!("{bad} of {all} files are no valid profiles"), ..self }
        }
    }
}

/// Adds the profiles of a folder; one that is none is an error here, for somebody named the folder.
fn add_folder(profiles: &mut Profiles, folder: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Failure::io(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            profiles.add(xml::read_profile(&path)?);
        }
    }
    Ok(())
}

fn profile_name(text: &str) -> Result<ProfileName, Failure> {
    text.parse().map_err(|error: ValueError| Failure::new(INVALID, format!("profile name: {error}")))
}

fn no_profile(name: &ProfileName) -> Failure {
    Failure::new(NOT_FOUND, format!("there is no profile `{name}`; `filter-ctl list` shows those there are"))
}
