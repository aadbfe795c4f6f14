//! The commands for people, on a real cluster, with a real operator and a server to ask: what they say, how they exit, and
//! that they show no secret.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::canaries::forms;
use crate::support::Result;
use crate::support::world::World;

mod completion;
mod rotate;
mod status;
mod verify;
mod who_uses;

/// What a command did.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.out)?)
    }

    pub fn all(&self) -> String {
        format!("exit code {:?}\n{}{}", self.code, self.out, self.err)
    }

    /// An error where one of the secrets, or a token, is in what was printed.
    pub fn shows_none_of(&self, secrets: &[&String]) {
        let text = self.all();
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            assert!(!text.contains(&form), "a secret is in what was printed");
        }
        assert!(!text.contains("eyJ"), "a token is in what was printed");
    }
}

/// Runs extapp as the administrator of the cluster.
pub async fn extapp(kubeconfig: &Path, arguments: &[&str]) -> Result<Ran> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_extapp"));
    command.args(arguments).arg("--kubeconfig").arg(kubeconfig).env_remove("KUBECONFIG");
    ran(command).await
}

/// The same, in the namespace of a world.
pub async fn at_home(world: &World, arguments: &[&str]) -> Result<Ran> {
    extapp(&world.plane.admin_kubeconfig(), &[arguments, &["-n", world.home.name()]].concat()).await
}

pub async fn ran(mut command: Command) -> Result<Ran> {
    let output = command.output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

#[tokio::test]
async fn every_command_option_and_exit_code_is_on_the_page_about_the_command_line() -> Result<()> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/command-line.md"))?;
    for command in ["status", "rotate", "who-uses", "verify", "completions"] {
        assert!(page.contains(&format!("| `extapp {command} ")), "{command} is not documented");
        let mut help = Command::new(env!("CARGO_BIN_EXE_extapp"));
        help.args([command, "--help"]);
        let help = ran(help).await?.out;
        let options = help.lines().filter_map(|line| line.trim_start().split("--").nth(1)?.split([' ', '.']).next());
        let options = options.filter(|option| help.contains(&format!("--{option}")));
        for option in options.filter(|option| !["help", "version", "log-format", "log-level"].contains(option)) {
            assert!(page.contains(&format!("--{option}")), "{command} --{option} is not documented");
        }
    }
    for code in 0..=5 {
        assert!(page.contains(&format!("\n| {code} | ")), "exit code {code} is not documented");
    }
    Ok(())
}
