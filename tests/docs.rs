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
            } else {
                serde_saphyr::from_str::<extapp::api::ExternalApplication>(document).expect(document);
            }
            seen += 1;
        }
    }
    assert!(seen >= 2, "the README shows the kinds");
}
