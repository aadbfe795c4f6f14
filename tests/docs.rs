//! What the documentation says is what the code does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use extapp::domain::reason::Reason;
use extapp::metrics::Metrics;
use strum::IntoEnumIterator;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is there")
}

/// The first cells of a table, without their quotes.
fn rows(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[test]
fn every_reason_is_documented_and_no_other() {
    let known: BTreeSet<String> = Reason::iter().map(|reason| reason.to_string()).collect();
    assert_eq!(rows(&read("docs/reasons.md")), known);
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let metrics = Metrics::default();
    touch_all(&metrics);
    let text = metrics.render();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(rows(&read("docs/metrics.md")), names.map(ToOwned::to_owned).collect());
}

/// A metric without a series is not printed.
fn touch_all(metrics: &Metrics) {
    use extapp::metrics::{Ended, Kind, Queue, Readiness, ServerLabel, ServerMethod, ServerRequest};
    let server = || "ns/name".to_owned();
    let kind = Kind { kind: "k" };
    metrics.reconciled("k", "done", std::time::Duration::ZERO);
    metrics.wrote("k", "status");
    metrics.reconciles_running.get_or_create(&kind).set(1);
    metrics.retrying.set(1);
    metrics.waiting.get_or_create(&Queue { server: server(), queue: "people" }).set(1);
    metrics.findings.get_or_create(&Ended { reason: "r" }).inc();
    metrics.server_requests.get_or_create(&ServerRequest { server: server(), operation: "get", outcome: "Ok" }).inc();
    metrics.server_seconds.get_or_create(&ServerLabel { server: server() }).observe(0.0);
    metrics.budget_remaining.get_or_create(&ServerMethod { server: server(), method: "GET" }).set(1);
    metrics.last_sweep.get_or_create(&ServerLabel { server: server() }).set(1.0);
    metrics.applications.get_or_create(&Readiness { server: server(), ready: "True" }).set(1);
    metrics.role_assignments.get_or_create(&Readiness { server: server(), ready: "True" }).set(1);
    metrics.watch_failures.get_or_create(&kind).inc();
    metrics.undecodable.get_or_create(&kind).inc();
}

#[test]
fn every_flag_of_the_operator_is_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_extapp")).args(["operator", "--help"]).output().expect("help");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--")?.split([' ', ',']).next());
    let readme = read("README.md");
    for flag in flags {
        assert!(readme.contains(&format!("`--{flag}`")), "README.md does not speak of --{flag}");
    }
}

#[test]
fn the_manifests_of_the_readme_are_of_our_kinds() {
    let readme = read("README.md");
    let mut seen = 0;
    for block in readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        for document in block.split("\n---\n").filter(|document| document.contains("extapp.dev/v1alpha1")) {
            if document.contains("kind: AuthorizationServer") {
                serde_saphyr::from_str::<extapp::api::AuthorizationServer>(document).expect(document);
            } else if document.contains("kind: RoleAssignment") {
                serde_saphyr::from_str::<extapp::api::RoleAssignment>(document).expect(document);
            } else {
                serde_saphyr::from_str::<extapp::api::ExternalApplication>(document).expect(document);
            }
            seen += 1;
        }
    }
    assert!(seen >= 2, "the README shows the kinds");
}

/// The rows of a page's tables, with the tests that the last cell names.
fn evidence(text: &str) -> Vec<(&str, Vec<&str>)> {
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| RFC 9700 |"));
    rows.filter_map(|line| {
        let cell = line.trim_end_matches(" |").rsplit(" | ").next()?;
        let names = cell.split('`').skip(1).step_by(2).filter(|name| name.contains('_') && !name.contains(' '));
        Some((line, names.collect()))
    })
    .collect()
}

fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_line_of_the_security_table_has_a_test_that_exists_or_is_a_named_gap() {
    let page = read("docs/oauth-security.md");
    let (mut text, root) = (String::new(), Path::new(env!("CARGO_MANIFEST_DIR")));
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    let proven = page.split("## Where the stand-in had to choose").next().expect("the tables with evidence");
    let rows: Vec<_> = evidence(proven).into_iter().filter(|(line, _)| *line != "| what | shown by |").collect();
    for (line, names) in &rows {
        assert!(!names.is_empty() || line.contains("[gap](#gaps)"), "nothing shows this: {line}");
        for name in names {
            let is_test = ["#[test]\n", "#[tokio::test]\n"].iter().any(|attribute| {
                ["fn ", "async fn "].iter().any(|kind| {
                    [String::new(), "    ".to_owned()]
                        .iter()
                        .any(|indent| text.contains(&format!("{attribute}{indent}{kind}{name}()")))
                })
            });
            assert!(is_test, "no test is called {name}");
        }
    }
    // Every part of RFC 9700 that speaks of authorization servers.
    let sections = ["2.1", "2.1.1", "2.1.2", "2.2.1", "2.2.2", "2.3", "2.4", "2.5", "2.6", "4.1.3", "4.2.4", "4.3.1"];
    let attacks = ["4.4.2", "4.5.3", "4.6.1", "4.7.1", "4.8.2", "4.9", "4.10.1", "4.11.2", "4.12", "4.13", "4.14.2"];
    for section in sections.into_iter().chain(attacks).chain(["4.15.1", "4.16", "4.17"]) {
        assert!(rows.iter().any(|(line, _)| line.starts_with(&format!("| {section} |"))), "no line for {section}");
    }
}
