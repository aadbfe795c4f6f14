//! Keycloak itself: found, or fetched by Maven, made ready once and kept below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::support::error::{Context, Error, Result};
use crate::support::peers::{kept, run};

/// A folder with an unpacked distribution, to be used instead of fetching one. It is copied and left as it is.
const HOME_VARIABLE: &str = "KEYCLOAK_HOME";
const VERSION: &str = "26.7.3";
/// Pinned, so that what is run does not change by itself.
const UNPACK: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack";
const MAVEN_HINT: &str = "the tests run a real Keycloak: install Maven (Debian: apt-get install maven) and a JDK 17 or \
    newer, or name an unpacked Keycloak 26 in KEYCLOAK_HOME";
const JAVA_HINT: &str = "the tests run a real Keycloak: install a JDK 17 or newer, or name one in JAVA_HOME";
/// Rotation of secrets is the only one that a server of this version has not switched on by itself.
const FEATURES: &str = "client-secret-rotation,client-auth-federated,kubernetes-service-accounts";
/// Built into what is kept. A change of any of these makes a new folder.
const RECIPE: &str = "dev-file database, administrator in it, 1";

/// The administrator of the master realm in the kept database. The server listens on loopback for the length of a test.
pub const ADMINISTRATOR: &str = "administrator";
pub const PASSWORD: &str = "only-for-tests";

/// A distribution that has been built, and the database that every server starts with.
#[derive(Clone, Debug)]
pub struct Distribution {
    java: PathBuf,
    home: PathBuf,
}

impl Distribution {
    /// Finds it, or makes it ready: two minutes the first time. Blocks.
    pub fn find() -> Result<Self> {
        let java = java()?;
        let given = std::env::var_os(HOME_VARIABLE).map(PathBuf::from);
        let version = match &given {
            Some(folder) => fs::read_to_string(folder.join("version.txt")).context(folder.display())?,
            None => VERSION.to_owned(),
        };
        let mut digest = Sha256::new();
        digest.update(format!("{version}\n{FEATURES}\n{RECIPE}\n{}", given.clone().unwrap_or_default().display()));
        let key = digest.finalize()[..4].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let doing = match &given {
            Some(folder) => format!("keycloak: making a copy of {} ready, once: about a minute ...", folder.display()),
            None => format!(
                "keycloak: fetching {VERSION} (177 MB) by Maven and making it ready, once: about two minutes; \
                 set {HOME_VARIABLE} to an unpacked one to skip the first part ..."
            ),
        };
        let kept = kept(&format!("keycloak-{key}"), &doing, |folder| prepare(&java, given.as_deref(), folder))?;
        Ok(Self { java, home: kept.join("home") })
    }

    /// Fills a folder with what one server needs for itself: its own copy of the database, the rest by reference.
    pub fn instance(&self, folder: &Path) -> Result<()> {
        for shared in ["conf", "lib", "providers", "themes"] {
            std::os::unix::fs::symlink(self.home.join(shared), folder.join(shared)).context(shared)?;
        }
        let database = folder.join("data/h2");
        fs::create_dir_all(&database).context(database.display())?;
        let file = "keycloakdb.mv.db";
        fs::copy(self.home.join("data/h2").join(file), database.join(file)).context(file).map(|_| ())
    }

    pub fn java(&self) -> &Path {
        &self.java
    }

    /// Arguments for Java up to Keycloak's own: what bin/kc.sh passes, but without the shell, which would have to be
    /// killed together with the program. `home`: from [`Self::instance`].
    pub fn arguments(&self, home: &Path) -> Vec<String> {
        arguments(&self.home, home)
    }
}

fn arguments(distribution: &Path, home: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "-Xms64m",
        "-Xmx384m",
        "-XX:MaxMetaspaceSize=256m",
        "-XX:+ExitOnOutOfMemoryError",
        // Half the time to the first answer, on few cores: a server of tests does not live to see the second compiler.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Dfile.encoding=UTF-8",
        "-Duser.language=en",
        "-Djava.security.egd=file:/dev/urandom",
        "--add-opens=java.base/java.util=ALL-UNNAMED",
        "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
        "--add-opens=java.base/java.security=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--enable-native-access=ALL-UNNAMED",
        "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=\
         io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
        "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
        "-Dpicocli.disable.closures=true",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("-Dkc.home.dir={}", home.display()));
    arguments.push(format!("-Djboss.server.config.dir={}", home.join("conf").display()));
    arguments.extend(["-cp".to_owned(), distribution.join("lib/quarkus-run.jar").display().to_string()]);
    arguments.push("io.quarkus.bootstrap.runner.QuarkusEntryPoint".to_owned());
    arguments
}

/// `folder` may hold what an interrupted attempt left.
fn prepare(java: &Path, given: Option<&Path>, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).context(folder.display())?;
    }
    fs::create_dir_all(folder).context(folder.display())?;
    let home = folder.join("home");
    match given {
        Some(given) => copy(given, &home)?,
        None => fetch(folder, &home)?,
    }
    let keycloak = |words: &str, hint: &str| {
        let mut command = Command::new(java);
        command.args(arguments(&home, &home)).args(words.split(' ')).env("EXTAPP_PASSWORD", PASSWORD);
        run(&mut command, hint)
    };
    keycloak(&format!("build --db=dev-file --features={FEATURES}"), "Keycloak could not be built")?;
    // Makes the database with the master realm, which is most of the time that a first start takes.
    let user = format!("--username {ADMINISTRATOR} --password:env EXTAPP_PASSWORD");
    let bootstrap = format!("bootstrap-admin user --optimized --no-prompt {user} --http-enabled=true --cache=local");
    keycloak(&bootstrap, "Keycloak's database could not be made")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context(to.display())?;
    let mut command = Command::new("cp");
    command.arg("-R").args(["conf", "lib", "providers", "themes"].map(|part| from.join(part))).arg(to);
    run(&mut command, &format!("{HOME_VARIABLE} must name an unpacked Keycloak 26"))
}

/// Maven unpacks as well, so that no other tool is needed; it keeps no executable bits, and none are used.
fn fetch(folder: &Path, home: &Path) -> Result<()> {
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress", "--quiet", UNPACK]).current_dir(folder);
    maven.arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"));
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    let output = maven.stdin(Stdio::null()).output().context(MAVEN_HINT)?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let advice = "Maven could not fetch Keycloak: is a repository reachable?";
        return Err(Error::new(format!("{advice} {MAVEN_HINT}\n{said}")));
    }
    fs::rename(folder.join(format!("keycloak-{VERSION}")), home).context(home.display())
}

fn java() -> Result<PathBuf> {
    let named = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let program = named.unwrap_or_else(|| "java".into());
    let output = Command::new(&program).arg("-version").stdin(Stdio::null()).output().context(JAVA_HINT)?;
    // For example `openjdk version "17.0.15" 2025-04-15`, on standard error.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = said.split('"').nth(1).unwrap_or_default();
    let major = version.split(['.', '-', '+']).next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 17) {
        return Ok(program);
    }
    Err(Error::new(format!("{JAVA_HINT}: {} is {version}", program.display())))
}
