//! The rules of the house that the compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

/// Which of the crate's modules each may use. A new module needs a line here, which is the moment to think where it
/// belongs.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("api", &[]),
    ("clock", &[]),
    ("telemetry", &[]),
    ("domain", &["api"]),
    ("metrics", &["api", "domain"]),
    ("admin", &["clock", "metrics", "telemetry"]),
    ("server", &["api", "clock", "domain", "metrics"]),
    ("controller", &["api", "clock", "domain", "metrics", "server"]),
    ("local_cloud", &["clock"]),
    ("cli", &["admin", "api", "clock", "controller", "domain", "local_cloud", "metrics", "server", "telemetry"]),
    ("lib", &[]),
    ("main", &["cli", "telemetry"]),
];
/// What the pure core must not know: it decides, others act.
const IMPURE: [&str; 6] = ["async", "await", "kube::Client", "kube::Api", "reqwest", "tokio"];
const LONGEST_FILE: usize = 400;

/// A file below `src/`, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    /// `server` for `server.rs` and for everything in `server/`.
    fn module(&self) -> &str {
        let first = self.path.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Numbered lines without the tests at the end of the file.
    fn lines(&self) -> Vec<(usize, &str)> {
        let lines: Vec<_> = self.text.lines().collect();
        let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        lines[..tests.unwrap_or(lines.len())].iter().enumerate().map(|(index, line)| (index + 1, *line)).collect()
    }

    /// The same without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        // `://` is a URL in a string.
        let comment = |line: &str| {
            let starts = line.match_indices("//").map(|(at, _)| at);
            starts.into_iter().find(|&at| at == 0 || !line[..at].ends_with(':')).unwrap_or(line.len())
        };
        self.lines().into_iter().map(move |(number, line)| (number, &line[..comment(line)]))
    }
}

fn offences(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let path = format!("src/{}", source.path.display());
        if source.path.ends_with("mod.rs") {
            found.push(format!("{path}:1: call it by its module's name, beside the folder: no mod.rs"));
        }
        if source.lines().len() > LONGEST_FILE {
            found
                .push(format!("{path}:{}: a file has at most {LONGEST_FILE} lines before its tests", LONGEST_FILE + 1));
        }
        found.extend(wrong_directions(source, &path));
        if source.module() == "domain" {
            for (number, line) in source.code() {
                let words = IMPURE.iter().filter(|word| has_word(line, word));
                found.extend(words.map(|word| format!("{path}:{number}: domain is pure: no `{word}`")));
            }
        }
    }
    found
}

fn wrong_directions(source: &Source, path: &str) -> Vec<String> {
    let module = source.module();
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{path}:1: tests/architecture.rs does not say what `{module}` may use")];
    };
    let wrong = used_modules(source).into_iter().filter(|(_, used)| {
        // Items of the crate's root, such as its error type, are not modules.
        let is_module = MAY_USE.iter().any(|(name, _)| name == used);
        is_module && used != module && !allowed.contains(&used.as_str())
    });
    wrong.map(|(number, used)| format!("{path}:{number}: `{module}` must not use `{used}`")).collect()
}

/// The first name of each path that begins at the crate's root, of groups too: `use crate::{a::B, c}` names a and c.
fn used_modules(source: &Source) -> Vec<(usize, String)> {
    let mut text = String::new();
    let mut starts = Vec::new();
    for (number, line) in source.code() {
        starts.push((text.len(), number));
        text.push_str(line);
        text.push('\n');
    }
    let line_of = |at: usize| starts[starts.partition_point(|(start, _)| *start <= at) - 1].1;
    let root = if source.module() == "main" { "extapp::" } else { "crate::" };
    let mut used = Vec::new();
    for (at, _) in text.match_indices(root) {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = at + root.len();
        if text[rest..].starts_with('{') {
            used.extend(
                group_heads(&text[rest + 1..]).into_iter().map(|(offset, name)| (line_of(rest + 1 + offset), name)),
            );
        } else {
            used.push((line_of(at), leading_name(&text[rest..])));
        }
    }
    used
}

/// The first name of each member of a use group, with its place after the opening brace.
fn group_heads(text: &str) -> Vec<(usize, String)> {
    let (mut depth, mut heads, mut expected) = (1, Vec::new(), true);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expected = true,
            c if expected && depth == 1 && !c.is_whitespace() => {
                heads.push((at, leading_name(&text[at..])));
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part_of_name) && !line[at + word.len()..].starts_with(part_of_name))
}

fn read_sources(folder: &Path, root: &Path, sources: &mut Vec<Source>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_sources(&path, root, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).map_err(std::io::Error::other)?.to_owned();
            sources.push(Source { text: fs::read_to_string(&path)?, path: relative });
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(())
}

#[test]
fn the_sources_keep_to_the_architecture() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read_sources(&root, &root, &mut sources)?;
    assert!(!sources.is_empty(), "no sources in {}", root.display());
    let found = offences(&sources);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    Ok(())
}

#[test]
fn a_dependency_against_the_direction_is_named_with_its_line() {
    let cases = [
        ("api/resource.rs", "use crate::domain::Plan;", "src/api/resource.rs:1: `api` must not use `domain`"),
        ("domain.rs", "//! Pure.\nfn f() { crate::server::f() }", "src/domain.rs:2: `domain` must not use `server`"),
        (
            "domain/plan.rs",
            "use crate::{\n    api::A,\n    clock::B,\n};",
            "src/domain/plan.rs:3: `domain` must not use `clock`",
        ),
        (
            "server/http.rs",
            "use crate::{api::{A, b}, controller};",
            "src/server/http.rs:1: `server` must not use `controller`",
        ),
        ("local_cloud.rs", "pub(crate) use crate::api::A;", "src/local_cloud.rs:1: `local_cloud` must not use `api`"),
        ("main.rs", "use extapp::controller;", "src/main.rs:1: `main` must not use `controller`"),
        ("extra.rs", "", "src/extra.rs:1: tests/architecture.rs does not say what `extra` may use"),
    ];
    for (path, text, expected) in cases {
        assert_eq!(offences(&[Source::new(path, text)]), [expected]);
    }
}

#[test]
fn a_dependency_in_the_direction_is_no_offence() {
    let allowed = [
        ("domain/plan.rs", "use crate::api::{A, controller};\nuse crate::domain::registration::ClientId;"),
        ("server.rs", "// not crate::controller\nuse crate::{api, domain::{self, plan}};"),
        ("server.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::controller;\n}"),
        ("controller.rs", "use other_crate::cli;"),
        ("cli.rs", "use crate::{controller, local_cloud, Error};"),
    ];
    for (path, text) in allowed {
        assert_eq!(offences(&[Source::new(path, text)]), [""; 0], "{path}: {text}");
    }
}

#[test]
fn an_impure_domain_is_named_with_its_line() {
    let text = "// async in a comment\nlet tokio_like = \"asynchronous\";\nasync fn f(client: &kube::Client) {}";
    let expected =
        ["src/domain/plan.rs:3: domain is pure: no `async`", "src/domain/plan.rs:3: domain is pure: no `kube::Client`"];
    assert_eq!(offences(&[Source::new("domain/plan.rs", text)]), expected);
    assert_eq!(offences(&[Source::new("server/http.rs", text)]), [""; 0]);
}

#[test]
fn long_files_and_mod_files_are_offences_and_tests_do_not_count() {
    let long = "fn f() {}\n".repeat(LONGEST_FILE);
    assert_eq!(offences(&[Source::new("cli.rs", &format!("{long}#[cfg(test)]\nmod tests {{\n}}\n"))]), [""; 0]);
    let expected = "src/cli.rs:401: a file has at most 400 lines before its tests";
    assert_eq!(offences(&[Source::new("cli.rs", &format!("{long}fn g() {{}}\n"))]), [expected]);
    let expected = "src/cli/mod.rs:1: call it by its module's name, beside the folder: no mod.rs";
    assert_eq!(offences(&[Source::new("cli/mod.rs", "")]), [expected]);
}
