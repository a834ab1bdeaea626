//! `umail-api migrate-from`: what another panel has, from a dump of its database. It says what it
//! would do, and does it on request.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    app::migration::{self, AT_ONCE, Wish},
    commands::{print, with_connections},
    config::Config,
    context::Context,
    error::{Error, Result},
    model::{
        dump::Read,
        import::write_cell,
        migration::{AdministratorStep, Count, Kind, Panel, Refusal, Report, Source},
        plan::PlanRef,
    },
};

/// The exit status when not everything is taken over.
const INCOMPLETE: u8 = 3;
/// Refusals that are shown; all of them are in the file of `--refused`.
const SHOWN: usize = 20;
/// Bytes of the dump that are read at once.
const BUFFER: usize = 256 * 1024;

/// Take over domains, users and aliases from a dump of another panel's database
///
/// Says what would be done, and what cannot be, and changes nothing without --apply. Done again, it
/// goes on where it was cut off, and leaves alone what is there. Exit status: 0 all is taken over
/// (or would be), 3 something is not, 1 it failed.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(super) struct MigrateFrom {
    /// Whose database it is
    panel: PanelName,
    /// The dump, as `mysqldump`, `mariadb-dump` or `pg_dump` write it; - is standard input
    dump: PathBuf,
    /// Do it, on behalf of --operator
    #[arg(long, requires = "operator")]
    apply: bool,
    /// Who does it: a system administrator, in whose name the audit events are
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// The plan of the users, by name or id; `standard` if none is named
    #[arg(long, value_name = "PLAN")]
    plan: Option<PlanRef>,
    /// Add users whose password cannot be taken over without one: their mail arrives, and they
    /// sign in once somebody has set a password for them
    #[arg(long)]
    reset_weak: bool,
    /// Change what is there already, passwords included, to what the dump says
    #[arg(long)]
    update: bool,
    /// Appoint administrators of domains whose name there is the address of a mailbox: the user
    /// administers the domain then, and signs in with the password of the mailbox
    #[arg(long)]
    administrators: bool,
    /// Set limits of domains that are below what the domains have: nothing is taken back, and
    /// nothing more is given
    #[arg(long)]
    below_allocated: bool,
    /// Write all that is not taken over into this file (CSV)
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    /// What the names of all tables begin with (`database_prefix` in the configuration of `PostfixAdmin`)
    #[arg(long, value_name = "PREFIX", default_value = "")]
    table_prefix: String,
    /// How the report is written
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PanelName {
    Postfixadmin,
    Mailcow,
}

impl From<PanelName> for Panel {
    fn from(name: PanelName) -> Self {
        match name {
            PanelName::Postfixadmin => Self::PostfixAdmin,
            PanelName::Mailcow => Self::Mailcow,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Text,
    Json,
}

/// What is told of a run.
struct Told {
    panel: Panel,
    read: Read,
    /// Quotas of mailboxes: how many, of how many sizes, the largest, and how many are unlimited.
    quotas: [i64; 4],
    /// Who is to administer what.
    administrators: Vec<String>,
    report: Report,
    is_applied: bool,
}

impl MigrateFrom {
    pub(super) async fn run(self, config: &Config) -> Result<ExitCode> {
        // What cannot be written is better known before than after.
        let file = self.refused.as_deref().map(create).transpose()?;
        let panel = Panel::from(self.panel);
        say("reading the dump");
        let (source, read) = read(panel, &self.dump, self.table_prefix.clone())?;
        let connections = u32::try_from(2 * AT_ONCE).unwrap_or(u32::MAX);
        let told = with_connections(config, connections, async |system| {
            let cx = match &self.operator {
                Some(name) => migration::on_behalf_of(system, name, panel).await?,
                None => system.clone(),
            };
            Box::pin(self.work(&cx, panel, (source, read))).await
        });
        let told = told.await?;
        if let Some((mut file, path)) = file.zip(self.refused.as_deref()) {
            write_refused(&mut file, &told.report).map_err(|cause| failed(path, &cause))?;
        }
        print(&match self.output {
            Form::Text => text(&told),
            Form::Json => {
                serde_json::to_string_pretty(&document(&told)).map_err(Error::internal)?
            }
        })?;
        let is_complete = told.report.is_complete();
        Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
    }

    async fn work(
        &self,
        cx: &Context,
        panel: Panel,
        (source, read): (Source, Read),
    ) -> Result<Told> {
        let wish = Wish {
            plan: self.plan.clone(),
            reset_weak: self.reset_weak,
            update: self.update,
            below_allocated: self.below_allocated,
            administrators: self.administrators,
        };
        if self.apply {
            migration::resume(cx).await?;
        }
        say("looking at what is there");
        let (steps, options) = migration::prepare(cx, source, &wish).await?;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let quotas = [
            steps.quotas.values().map(|number| i64::try_from(*number).unwrap_or(i64::MAX)).sum(),
            count(steps.quotas.len()),
            steps.quotas.last_key_value().map_or(0, |(quota, _)| *quota),
            steps.quotas.get(&0).map_or(0, |number| i64::try_from(*number).unwrap_or(i64::MAX)),
        ];
        let whom = |one: &AdministratorStep| format!("{} administers {}", one.address, one.domain);
        let administrators = steps.administrators.iter().map(whom).collect();
        let report = if self.apply {
            let tell = |kind: Kind, done: usize, all: usize| {
                say(&format!("{}: {done} of {all}", kind.plural()));
            };
            migration::apply(cx, steps, &options, tell).await?
        } else {
            steps.report
        };
        Ok(Told { panel, read, quotas, administrators, report, is_applied: self.apply })
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|cause| failed(path, &cause))
}

fn failed(path: &Path, cause: &io::Error) -> Error {
    Error::Conflict(format!("{}: {cause}", path.display()))
}

fn read(panel: Panel, path: &Path, prefix: String) -> Result<(Source, Read)> {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::with_capacity(BUFFER, io::stdin()))
    } else {
        let file = File::open(path).map_err(|cause| failed(path, &cause))?;
        Box::new(BufReader::with_capacity(BUFFER, file))
    };
    let read = panel.read(input, prefix);
    read.map_err(|cause| Error::Conflict(format!("{}: {cause}", path.display())))
}

/// Progress, for whoever watches.
fn say(text: &str) {
    // Nobody watches when standard error is closed.
    let _ = writeln!(io::stderr(), "umail-api: {text}");
}

fn write_refused(file: &mut File, report: &Report) -> io::Result<()> {
    let mut out = io::BufWriter::new(file);
    writeln!(out, "what,line,table,key,field,reason")?;
    let refused = report.refused.iter().map(|one| ("refused", one));
    let left_out = report.left_out.iter().map(|one| ("left_out", one));
    for (what, Refusal { origin, field, reason }) in refused.chain(left_out) {
        let [key, reason] = [&origin.key, reason].map(|text| write_cell(text));
        writeln!(out, "{what},{},{},{key},{field},{reason}", origin.line, origin.table)?;
    }
    out.flush()
}

fn text(told: &Told) -> String {
    let Told { panel, read, quotas, administrators, report, is_applied } = told;
    let mut lines = vec![format!("{}: {} lines, {} bytes", panel.name(), read.lines, read.bytes)];
    let [new, changed] = if *is_applied { ["added", "changed"] } else { ["to add", "to change"] };
    lines.push(format!("{:15}{new:>11}{changed:>11}{:>11}{:>11}", "", "there", "refused"));
    for kind in Kind::ALL {
        let count = report.counts.get(&kind).copied().unwrap_or_default();
        let Count { new, changed, there, refused } = count;
        let kind = kind.plural();
        lines.push(format!("{kind:15}{new:>11}{changed:>11}{there:>11}{refused:>11}"));
    }
    let [mailboxes, sizes, largest, unlimited] = quotas;
    lines.push(format!(
        "quotas of {mailboxes} mailboxes: {sizes} different, the largest {largest} bytes, \
         {unlimited} unlimited"
    ));
    if report.reset > 0 {
        lines.push(format!("{} users have no password until somebody sets one", report.reset));
    }
    lines.extend(told_of_limits(report));
    if !is_applied && !administrators.is_empty() {
        lines.push(format!("to be appointed: {}", administrators.len()));
        lines.extend(some(administrators, "-o json has 1000"));
    }
    let (rows, _) = left_out(report);
    for (what, list) in [("left out", rows), ("not taken over", report.refused.iter().collect())] {
        lines.push(format!("{what}: {}", list.len()));
        lines.extend(some(&list, "--refused FILE has all"));
    }
    if !is_applied {
        lines.push("nothing has been changed: --apply does it".to_owned());
    }
    lines.join("\n")
}

/// The first of some things, and where the others are.
fn some(list: &[impl Display], rest: &str) -> Vec<String> {
    let mut lines: Vec<_> = list.iter().take(SHOWN).map(|one| format!("  {one}")).collect();
    if list.len() > SHOWN {
        lines.push(format!("  and {} more: {rest}", list.len() - SHOWN));
    }
    lines
}

/// What is left out: rows, and limits of domains that are.
fn left_out(report: &Report) -> (Vec<&Refusal>, Vec<&Refusal>) {
    report.left_out.iter().partition(|one| one.field.is_empty())
}

fn told_of_limits(report: &Report) -> Vec<String> {
    let (_, limits) = left_out(report);
    let count = |field: &str| limits.iter().filter(|one| one.field == field).count();
    let told = [
        (count("maxquota"), "limits of single mailboxes are left out: plans limit those here"),
        (count("quota"), "limits of storage are left out: some users there have no quota"),
        (
            usize::try_from(report.below).unwrap_or(usize::MAX),
            "limits are below what there is, and nothing more is given",
        ),
    ];
    told.into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect()
}

fn document(told: &Told) -> serde_json::Value {
    let Told { panel, read, quotas, administrators, report, is_applied } = told;
    let counts =
        Kind::ALL.map(|kind| (kind, report.counts.get(&kind).copied().unwrap_or_default()));
    let [mailboxes, sizes, largest, unlimited] = quotas;
    json!({
        "panel": panel,
        "applied": is_applied,
        "complete": report.is_complete(),
        "dump": { "bytes": read.bytes, "lines": read.lines },
        "counts": std::collections::BTreeMap::from(counts),
        "quotas": {
            "mailboxes": mailboxes, "different": sizes,
            "largest_bytes": largest, "unlimited": unlimited,
        },
        "users_without_password": report.reset,
        "limits_below_allocated": report.below,
        "administrators": administrators.iter().take(1_000).collect::<Vec<_>>(),
        "not_taken_over": report.refused.len(),
        "left_out": report.left_out.len(),
        "refused": report.refused.iter().take(1_000).collect::<Vec<_>>(),
    })
}
