//! The binary as a plugin of kubectl: under the name `kubectl-extapp` it is `kubectl extapp`, and under the name
//! `kubectl_complete-extapp` it tells kubectl's completion what may come next.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::{Arg, Command, FromArgMatches as _};
use kube::ResourceExt;
use kube::api::ListParams;

use super::cluster::{Cluster, Place};
use super::output;

/// How long a person who pressed a key waits for names.
const PATIENCE: Duration = Duration::from_secs(3);
/// Tells the completion to offer no files (cobra's `ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4\n";

/// By which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    Plainly,
    AsPlugin,
    ToComplete,
}

impl Called {
    pub fn of(program: Option<&OsString>) -> Self {
        let name = program.and_then(|program| Path::new(program).file_stem()).and_then(|name| name.to_str());
        match name {
            Some("kubectl-extapp") => Self::AsPlugin,
            Some("kubectl_complete-extapp") => Self::ToComplete,
            _ => Self::Plainly,
        }
    }
}

/// Prints what may stand in the place of the last word, one a line, as kubectl's completion reads it.
pub async fn complete(command: Command, words: &[OsString]) {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut text = String::new();
    let mut candidates = match next(command, &words) {
        Next::Words(words) => words,
        Next::Application(cluster) => tokio::time::timeout(PATIENCE, names(&cluster)).await.unwrap_or_default(),
    };
    let begun = words.last().map(String::as_str).unwrap_or_default();
    candidates.retain(|candidate| candidate.starts_with(begun));
    for candidate in candidates {
        // A String takes whatever is written to it.
        let _ = writeln!(text, "{candidate}");
    }
    // Whoever completes shows no errors.
    let _ = output::print(&(text + NO_FILES));
}

/// What may come next.
enum Next {
    Words(Vec<String>),
    /// The name of an application of this cluster.
    Application(Cluster),
}

/// Goes through the words up to the last, which is the one that is being written.
fn next(mut command: Command, words: &[String]) -> Next {
    command.build();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut at = &command;
    let (mut awaited, mut named) = (None, false);
    for word in before {
        if awaited.take().is_some() {
            continue;
        }
        if let Some(option) = option(at, word) {
            awaited = takes_value(option).then_some(option);
        } else if let Some(subcommand) = at.find_subcommand(word) {
            at = subcommand;
        } else if !word.starts_with('-') {
            named = true;
        }
    }
    if let Some(option) = awaited {
        return Next::Words(values(option));
    }
    if last.starts_with('-') {
        let options = at.get_opts().chain(at.get_arguments().filter(|arg| !arg.is_positional() && !takes_value(arg)));
        let mut long: Vec<String> = options.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
        long.sort();
        long.dedup();
        return Next::Words(long);
    }
    if at.has_subcommands() {
        return Next::Words(at.get_subcommands().map(|one| one.get_name().to_owned()).collect());
    }
    let positional = at.get_positionals().next().filter(|_| !named);
    match positional {
        Some(argument) if argument.get_id() == "name" => Next::Application(cluster(before)),
        Some(argument) => Next::Words(values(argument)),
        None => Next::Words(Vec::new()),
    }
}

fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let long = word.strip_prefix("--");
    let short = word.strip_prefix('-').filter(|rest| rest.chars().count() == 1).and_then(|rest| rest.chars().next());
    command
        .get_arguments()
        .find(|arg| (long.is_some() && arg.get_long() == long) || (short.is_some() && arg.get_short() == short))
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn values(arg: &Arg) -> Vec<String> {
    arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// Where to look for applications, as the words before say.
fn cluster(words: &[String]) -> Cluster {
    let command =
        <Cluster as clap::Args>::augment_args(Command::new("cluster").no_binary_name(true).ignore_errors(true));
    let of_cluster = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        ["-n", "--namespace", "--context", "--kubeconfig"].contains(&name)
    };
    let mut chosen = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if of_cluster(word) {
            chosen.push(word.clone());
            chosen.extend(words.next().filter(|_| !word.contains('=')).cloned());
        }
    }
    let matches = command.try_get_matches_from(chosen).ok();
    matches.and_then(|matches| Cluster::from_arg_matches(&matches).ok()).unwrap_or_default()
}

async fn names(cluster: &Cluster) -> Vec<String> {
    let Ok(Place { client, namespace }) = cluster.connect().await else { return Vec::new() };
    let api = Place { client, namespace }.applications();
    let list = api.list_metadata(&ListParams::default()).await;
    list.map(|list| list.items.iter().map(ResourceExt::name_any).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(words: &[&str]) -> Vec<String> {
        let command = <crate::cli::Cli as clap::CommandFactory>::command();
        match next(command, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()) {
            Next::Words(words) => words,
            Next::Application(cluster) => vec![format!("{cluster:?}")],
        }
    }

    #[test]
    fn the_program_knows_by_which_name_it_was_called() {
        for (name, called) in [
            ("/usr/bin/extapp", Called::Plainly),
            ("/usr/bin/kubectl-extapp", Called::AsPlugin),
            ("kubectl-extapp.exe", Called::AsPlugin),
            ("/x/kubectl_complete-extapp", Called::ToComplete),
        ] {
            assert_eq!(Called::of(Some(&name.into())), called, "{name}");
        }
        assert_eq!(Called::of(None), Called::Plainly);
    }

    #[test]
    fn subcommands_options_values_and_names_are_offered_where_they_belong() {
        assert!(offered(&[""]).contains(&"who-uses".to_owned()));
        assert!(offered(&["rotate", "--"]).contains(&"--revoke-now".to_owned()));
        assert_eq!(offered(&["status", "-o", ""]), ["text", "json"]);
        assert!(offered(&["completions", ""]).contains(&"fish".to_owned()));
        assert!(offered(&["status", "invoice-sync", ""]).is_empty(), "there is one name");
        let place = offered(&["status", "-n", "finance", "--context=eu", ""]).remove(0);
        assert!(place.contains("\"finance\"") && place.contains("\"eu\""), "{place}");
        assert!(offered(&["status", "--output", "json", ""])[0].contains("Cluster"));
    }
}
