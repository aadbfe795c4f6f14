//! Programs that we did not write: installed once, below the target directory, from the registry that the machine's own
//! package manager is set up for.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::assets::target_directory;
use super::error::{Context, Error, Result};

/// A Python with the packages of a requirements file. The folder is named after the file's text, so that a change makes
/// a new one; a lock keeps parallel runs apart.
pub fn python(requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read_to_string(requirements)?;
    let name: String = wanted.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let home = target_directory().join("peers").join(format!("python-{}", name.trim_matches('-')));
    let python = home.join("bin/python");
    fs::create_dir_all(home.parent().unwrap_or(&home))?;
    let lock = File::create(home.with_extension("lock"))?;
    lock.lock()?;
    let complete = home.join("complete");
    if complete.exists() {
        return Ok(python);
    }
    // libtest hides what goes through its macros; this is for whoever waits.
    let _ = writeln!(std::io::stderr(), "installing {} for Python ...", wanted.trim().replace('\n', ", "));
    let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let hint = "install Python 3.11 or newer with its venv module (Debian: python3-venv), or name one in PYTHON";
    run(Command::new(&base).args(["-m", "venv", "--clear"]).arg(&home), hint)?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(
        Command::new(&python).args(install).arg(requirements),
        "pip could not install the packages: is a registry reachable?",
    )?;
    File::create(complete)?;
    Ok(python)
}

fn run(command: &mut Command, hint: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context(hint)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{hint}\n{}", String::from_utf8_lossy(&output.stderr))))
}

/// Runs a Python script with this standard input, and gives back what it prints.
pub fn script(python: &Path, script: &Path, input: &str) -> Result<String> {
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::new(format!("{} failed:\n{}", script.display(), String::from_utf8_lossy(&output.stderr))))
}
