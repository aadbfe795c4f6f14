//! What the documentation says is what the code does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use extapp::api::{ApiResource, AuthorizationServer, ExternalApplication, RoleAssignment};
use extapp::domain::reason::Reason;
use extapp::metrics::Metrics;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
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
    use extapp::metrics::{
        ApplicationLabel, Ended, Kind, Queue, Readiness, Restart, Rotated, ServerLabel, ServerMethod, ServerRequest,
        Unfinished,
    };
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
    metrics.server_credential_expiry.get_or_create(&ServerLabel { server: server() }).set(1.0);
    metrics.applications.get_or_create(&Readiness { server: server(), ready: "True" }).set(1);
    metrics.role_assignments.get_or_create(&Readiness { server: server(), ready: "True" }).set(1);
    metrics.restarts.get_or_create(&Restart { outcome: "done" }).inc();
    metrics.holders.get_or_create(&ServerLabel { server: server() }).set(1);
    metrics.watch_failures.get_or_create(&kind).inc();
    metrics.undecodable.get_or_create(&kind).inc();
    metrics.rotations.get_or_create(&Rotated { server: server(), trigger: "Schedule", outcome: "published" }).inc();
    metrics.proof_seconds.get_or_create(&ServerLabel { server: server() }).observe(0.0);
    metrics.unfinished.get_or_create(&Unfinished { server: server(), reason: "Proving".into() }).set(1);
    metrics.retiring.get_or_create(&ServerLabel { server: server() }).set(1);
    let application = ApplicationLabel { namespace: "ns".into(), application: "name".into() };
    for gauge in [&metrics.rotation_next, &metrics.credential_created, &metrics.credential_expiry] {
        gauge.get_or_create(&application).set(1);
    }
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

/// The README and every page below `docs/`, by its path.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![("README.md".to_owned(), read("README.md"))];
    for folder in ["docs", "docs/servers"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("the folder is there") {
            let path = Path::new(folder).join(entry.expect("an entry").file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                let path = path.display().to_string();
                let text = read(&path);
                found.push((path, text));
            }
        }
    }
    found
}

/// A whole object of each kind to which a part of a spec may belong, by its kind.
fn base(kind: &str) -> Value {
    let spec = match kind {
        "AuthorizationServer" => json!({"hydra": {"url": "https://a.example", "adminUrl": "https://b.example"}}),
        "ApiResource" => json!({"serverRef": {"name": "a"}, "identifier": "a"}),
        "RoleAssignment" => json!({"applicationRef": {"name": "a"}, "tenant": "a"}),
        _ => json!({"serverRef": {"name": "a"}, "type": "Confidential", "resources": []}),
    };
    json!({"apiVersion": "extapp.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

/// What becomes of an object that is read as one of its kind.
fn read_as(kind: &str, object: &Value) -> Option<Value> {
    fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Option<Value> {
        serde_json::to_value(serde_json::from_value::<T>(object.clone()).ok()?).ok()
    }
    match kind {
        "AuthorizationServer" => again::<AuthorizationServer>(object),
        "ApiResource" => again::<ApiResource>(object),
        "RoleAssignment" => again::<RoleAssignment>(object),
        _ => again::<ExternalApplication>(object),
    }
}

/// Whether nothing of what was written got lost: a field that there is not would be.
fn holds(kept: &Value, written: &Value) -> bool {
    match (kept, written) {
        (Value::Object(kept), Value::Object(written)) => written.iter().all(|(key, value)| {
            let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
            kept.get(key).map_or(empty, |kept| holds(kept, value))
        }),
        (Value::Array(kept), Value::Array(written)) => {
            kept.len() == written.len() && kept.iter().zip(written).all(|(kept, written)| holds(kept, written))
        }
        _ => kept == written,
    }
}

/// Of a page: the manifests of our kinds, and the parts of a spec, in its blocks of YAML.
fn manifests(page: &str) -> Vec<Value> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documents = blocks.flat_map(|block| serde_saphyr::from_multiple::<Value>(block).expect(block));
    documents
        .filter(|document| is_ours(document) || (document.get("kind").is_none() && document.get("spec").is_some()))
        .collect()
}

fn is_ours(document: &Value) -> bool {
    document["apiVersion"] == "extapp.dev/v1alpha1"
}

#[test]
fn the_manifests_of_every_page_have_only_fields_that_our_kinds_have() {
    let kinds = ["ExternalApplication", "AuthorizationServer", "RoleAssignment", "ApiResource"];
    let mut seen = BTreeSet::new();
    for (path, page) in pages() {
        for written in manifests(&page) {
            let fits = |kind: &str| {
                let mut object = if is_ours(&written) { written.clone() } else { base(kind) };
                let part = written["spec"].as_object().cloned().unwrap_or_default();
                object["spec"].as_object_mut().expect("a spec").extend(part);
                read_as(kind, &object).is_some_and(|kept| holds(&kept, &object))
            };
            let of_its_kind = |kind: &&&str| !is_ours(&written) || written["kind"] == **kind;
            assert!(kinds.iter().filter(of_its_kind).any(|kind| fits(kind)), "{path}: {written:#}");
            seen.insert(path.clone());
        }
    }
    for path in ["README.md", "docs/rotate.md", "docs/no-secret.md", "docs/consumers.md", "docs/servers/uipath.md"] {
        assert!(seen.contains(path), "{path} shows manifests");
    }
}

/// As a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, page) in pages() {
        let folder = root.join(&path).parent().expect("a folder").to_owned();
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, section) = target.split_once('#').map_or((target, None), |(file, part)| (file, Some(part)));
            let file = if file.is_empty() { root.join(&path) } else { folder.join(file) };
            assert!(file.exists(), "{path} links to {target}, which is not there");
            if let Some(section) = section {
                let text = std::fs::read_to_string(&file).expect("a page");
                let mut headings =
                    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
                assert!(
                    headings.any(|heading| anchor(heading.trim()) == section),
                    "{path} links to {target}: no such section"
                );
            }
        }
    }
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = read("README.md");
    for (path, _) in pages().into_iter().filter(|(path, _)| path != "README.md") {
        assert!(readme.contains(&format!("({path})")), "README.md does not lead to {path}");
    }
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
