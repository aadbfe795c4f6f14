//! `extapp local-cloud`

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use tokio::signal::unix::{SignalKind, signal};

use crate::local_cloud::{
    self, AdministratorCredentials, Config, Deployment, Error, LARGEST_PAGE, Limits, NewPerson, PeopleError,
    SigningAlgorithm,
};

/// Runs a stand-in for UiPath Automation Cloud on this machine, for trying and testing
///
/// It answers the Identity management API for external applications, their secrets and federated credentials, the OAuth
/// endpoints, and of Orchestrator folders, roles, users and queue definitions, as far as extapp uses them and as public
/// documentation shows them. It begins as a new organization does: with the tenant DefaultTenant, the folder Shared and the built-in roles. It is not UiPath,
/// it is not made by UiPath, and nothing that matters should depend on it: plain HTTP, on loopback only.
///
/// When it is ready it prints one line to standard output that ends with the URL of the organization.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The loopback address and port to listen on; port 0 takes a free one
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_LISTEN", default_value = "127.0.0.1:8480", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The SQLite file that keeps applications and keys; without it everything is forgotten at the end
    ///
    /// A new file is made with mode 0600. What has been answered survives the death of the process (kill -9).
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_DATA", value_name = "FILE")]
    data: Option<PathBuf>,

    /// The name of the organization, as it stands in URLs
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_ORGANIZATION", default_value = "acme", value_name = "NAME")]
    organization: String,

    /// Write the administrator's client id and secret to this file, as a Kubernetes Secret manifest
    ///
    /// The Secret is named local-cloud-admin and has the keys client-id and client-secret; the file has mode 0600.
    /// It is written when the administrator is made, at the first start with a data file. If the file is missing at
    /// a later start, a further secret is made and written; if it is there, it is left alone.
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_CREDENTIALS_OUT", value_name = "FILE")]
    credentials_out: Option<PathBuf>,

    /// The people who can sign in: a YAML list of email, name, password and administrator (true or false)
    ///
    /// For example:
    ///
    /// - email: ada@acme.example
    ///   name: Ada
    ///   password: at least eight characters
    ///   administrator: true
    ///
    /// People of the file are added to the data file at the start, or changed if they
    /// are there already; nobody is removed. A person whose password has changed is
    /// signed out everywhere, and what that person has allowed is revoked. A file that
    /// everybody on this machine may read is refused. Without people, nobody can sign
    /// in.
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_PEOPLE", value_name = "FILE", verbatim_doc_comment)]
    people: Option<PathBuf>,

    /// How access tokens are signed; keys of both algorithms are kept and published
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_SIGNING_ALGORITHM", default_value = "RS256", value_name = "ALGORITHM")]
    signing_algorithm: SigningAlgorithm,

    /// A further tenant of Orchestrator, beside DefaultTenant; may be repeated
    ///
    /// A tenant that is in the data file stays, whether it is named or not.
    #[arg(long = "tenant", env = "EXTAPP_LOCAL_CLOUD_TENANTS", value_delimiter = ',', value_name = "NAME")]
    tenants: Vec<String>,

    /// The kind of deployment to play: where management calls go, and which action puts principals into folders
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_DEPLOYMENT", default_value = "AutomationCloud", value_name = "KIND")]
    deployment: Deployment,

    /// How many entities a page of Orchestrator's has at most
    #[arg(
        long,
        env = "EXTAPP_LOCAL_CLOUD_LARGEST_PAGE",
        default_value_t = LARGEST_PAGE,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    largest_page: u32,

    #[command(flatten)]
    rates: Rates,

    /// Append one JSON line for each request to this file: method, path, status, client id
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_ACCESS_LOG", value_name = "FILE")]
    access_log: Option<PathBuf>,

    /// Certificates in PEM to trust when issuers of federated credentials are looked up, beside the platform's own; may be
    /// repeated
    ///
    /// The API server of a cluster has a certificate of the cluster's own authority: give that authority here. An issuer
    /// is read at its /.well-known/openid-configuration, and again when one of its tokens names an unknown key.
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_ISSUER_CA", value_delimiter = ',', value_name = "FILE")]
    issuer_ca: Vec<PathBuf>,

    /// Open POST /__faults, through which a test makes requests fail
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_FAULTS", hide = true, value_parser = FalseyValueParser::new())]
    faults: bool,
}

/// Limits of the Identity management API and of Orchestrator; the defaults are UiPath's.
#[derive(Debug, clap::Args)]
struct Rates {
    /// GET requests to the Identity management API in one window, 0 for any number
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_GET", default_value_t = 300, value_name = "COUNT")]
    rate_limit_get: u32,

    /// POST requests to the Identity management API in one window, 0 for any number
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_POST", default_value_t = 24_000, value_name = "COUNT")]
    rate_limit_post: u32,

    /// PUT (and as many PATCH) requests to the Identity management API in one window, 0 for any number
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_PUT", default_value_t = 160, value_name = "COUNT")]
    rate_limit_put: u32,

    /// DELETE requests to the Identity management API in one window, 0 for any number
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_DELETE", default_value_t = 160, value_name = "COUNT")]
    rate_limit_delete: u32,

    /// Requests to each tenant of Orchestrator in one window, 0 for any number
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_TENANT", default_value_t = 0, value_name = "COUNT")]
    rate_limit_tenant: u32,

    /// Searches of the directory through each tenant in one window, 0 for any number
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_DIRECTORY_SEARCH", default_value_t = 300, value_name = "COUNT")]
    rate_limit_directory_search: u32,

    /// The length of a window in seconds
    #[arg(
        long,
        env = "EXTAPP_LOCAL_CLOUD_RATE_LIMIT_WINDOW",
        default_value_t = 300,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    rate_limit_window: u32,

    /// Answer 429 without a Retry-After header
    #[arg(long, env = "EXTAPP_LOCAL_CLOUD_NO_RETRY_AFTER", value_parser = FalseyValueParser::new())]
    no_retry_after: bool,
}

impl TryFrom<Args> for Config {
    type Error = PeopleError;

    fn try_from(args: Args) -> Result<Self, PeopleError> {
        let people = args.people.as_deref().map(NewPerson::read).transpose()?.unwrap_or_default();
        Ok(Self {
            people,
            data: args.data,
            credentials_out: args.credentials_out,
            signing_algorithm: args.signing_algorithm,
            tenants: args.tenants,
            deployment: args.deployment,
            largest_page: args.largest_page,
            limits: Limits {
                get: args.rates.rate_limit_get,
                post: args.rates.rate_limit_post,
                put: args.rates.rate_limit_put,
                delete: args.rates.rate_limit_delete,
                tenant: args.rates.rate_limit_tenant,
                directory_search: args.rates.rate_limit_directory_search,
                window_seconds: args.rates.rate_limit_window,
                retry_after: !args.rates.no_retry_after,
            },
            access_log: args.access_log,
            issuer_ca: args.issuer_ca,
            faults: args.faults,
            ..Self::new(args.listen, args.organization)
        })
    }
}

/// Serves until SIGTERM or SIGINT.
pub async fn run(args: Args) -> Result<(), Error> {
    let config = Config::try_from(args)?;
    let (data, credentials_out) = (config.data.clone(), config.credentials_out.clone());
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Serve)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let running = local_cloud::serve(config, shutdown).await?;
    match &data {
        Some(path) => eprintln!("Everything is kept in {}.", path.display()),
        None => eprintln!("Everything is kept in memory and forgotten at the end; --data FILE keeps it."),
    }
    eprintln!("{}", about_credentials(running.administrator(), credentials_out));
    eprintln!("The organization's identifier is {}.", running.organization_id());
    let line =
        format!("extapp local-cloud: a stand-in for trying and testing, not UiPath; listening on {}\n", running.url());
    let mut out = std::io::stdout();
    // Whoever started this may have closed the pipe; the server is there all the same.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    running.wait().await
}

fn about_credentials(outcome: AdministratorCredentials, path: Option<PathBuf>) -> String {
    let path = path.unwrap_or_default();
    let path = path.display();
    match outcome {
        AdministratorCredentials::NotAsked => {
            "Nobody was told the administrator's credentials; --credentials-out FILE writes them.".to_owned()
        }
        AdministratorCredentials::Written => format!("The administrator's credentials are in {path}."),
        AdministratorCredentials::Renewed => {
            format!("A further secret was made for the administrator; it is in {path}.")
        }
        AdministratorCredentials::Kept => {
            format!("The administrator's credentials are in {path}, as they were.")
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn without_options_the_limits_are_the_librarys_and_no_fault_can_be_asked_for() {
        let config = Config::try_from(Program::parse_from(["extapp"]).args).unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.organization, "acme");
        assert_eq!((config.data, config.credentials_out, config.access_log), (None, None, None));
        assert!(!config.faults);
        assert!(config.people.is_empty());
    }

    #[test]
    fn people_come_from_a_file_and_no_password_from_the_command_line() {
        use clap::CommandFactory;
        let missing = Program::parse_from(["extapp", "--people", "/nowhere/people.yaml"]).args;
        assert!(matches!(Config::try_from(missing), Err(PeopleError::Read { .. })));
        let command = Program::command();
        assert!(command.get_arguments().all(|argument| !argument.get_id().as_str().contains("password")));
    }

    #[test]
    fn certificates_for_issuers_may_be_given_more_than_once() {
        let arguments = ["extapp", "--issuer-ca", "one.pem", "--issuer-ca", "two.pem,three.pem"];
        let config = Config::try_from(Program::parse_from(arguments).args).unwrap();
        assert_eq!(config.issuer_ca, ["one.pem", "two.pem", "three.pem"].map(PathBuf::from));
    }

    #[test]
    fn a_window_of_no_length_is_refused() {
        assert!(Program::try_parse_from(["extapp", "--rate-limit-window", "0"]).is_err());
    }

    #[test]
    fn help_says_that_it_is_a_stand_in_and_keeps_the_fault_switch_to_itself() {
        use clap::CommandFactory;
        let help = Program::command().render_long_help().to_string();
        assert!(help.contains("stand-in"), "{help}");
        assert!(!help.contains("faults"), "{help}");
    }
}
