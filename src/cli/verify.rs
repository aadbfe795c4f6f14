//! `extapp verify`

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::cluster::{Cluster, Error, Place};
use super::exit::Exit;
use super::output::{self, Format};
use crate::api::ExternalApplication;
use crate::clock::{self, Clock};
use crate::domain::registration::ClientId;
use crate::server::ServerError;
use crate::server::grant::{self, Answered, Grant};
use crate::server::http::{Http, Timeouts, Transport, Unobserved, UrlRefused};

mod credential;
mod render;
mod report;

use credential::Found;
use report::Report;

/// Gets a token with what the application publishes, from this machine, and shows what is in it
///
/// Neither the secret nor the token is shown. Where people must sign in, it shows that the server knows the client. Exits
/// with 3 if the server does not accept the credential.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ExternalApplication
    name: String,
    /// Authenticate by this federated credential instead of a secret: with a token of its service account [default: the
    /// first that names one, where there is no secret]
    #[arg(long, value_name = "NAME")]
    federated: Option<String>,
    /// Certificates in PEM that are trusted beside the system's own
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// Accept plain http for this host; loopback is always accepted
    #[arg(long = "allow-insecure-host", value_delimiter = ',', value_name = "HOST,…")]
    allow_insecure_hosts: Vec<String>,
    #[command(flatten)]
    cluster: Cluster,
    /// What is printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

pub async fn run(args: Args) -> Result<Exit, Error> {
    let place = args.cluster.connect().await?;
    let app = place.application(&args.name).await?;
    let report = match credential::find(&place, &app, args.federated.as_deref()).await? {
        Ok(found) => ask(&args, &place, &app, found).await?,
        Err(why) => Report::unverified(&app, why),
    };
    let text = match args.output {
        Format::Text => render::text(&report, clock::now()),
        Format::Json => output::json(&report)?,
    };
    output::print(&text)?;
    Ok(report.exit())
}

async fn ask(args: &Args, place: &Place, app: &ExternalApplication, found: Found) -> Result<Report, Error> {
    let endpoint = Url::parse(&found.token_endpoint)
        .map_err(|_| Error::Because(format!("the token endpoint {} is not a URL", found.token_endpoint)))?;
    let http = http(args, &endpoint)?;
    let (id, verifier) = (ClientId::new(&found.client_id), clock::random_id() + &clock::random_id());
    // People are sent back somewhere; which of the addresses makes no difference to a code that does not exist.
    let redirect_uri = app.spec.redirect_uris.first().map(String::as_str).unwrap_or_default();
    let wanted = match &found.scope {
        Some(scope) => Grant::ClientCredentials { scope: Some(scope) },
        None => Grant::NoCode { redirect_uri, verifier: &verifier },
    };
    let mut last = None;
    for authentication in credential::present(place, &found.way).await? {
        let answered = grant::ask(&http, &endpoint, &id, &authentication, wanted).await;
        let answered = answered.map_err(|error| Error::Because(unanswered(&error, &endpoint)))?;
        let refused = matches!(&answered, Answered::Refused { code, .. } if code.as_deref() == Some("invalid_client"));
        last = Some(answered);
        // A server may have been told that the client uses another way.
        if !refused {
            break;
        }
    }
    let answered = last.ok_or_else(|| Error::Because("there is no way to authenticate".into()))?;
    Ok(Report::of(app, &found, &answered, clock::now()))
}

fn http(args: &Args, endpoint: &Url) -> Result<Http, Error> {
    let ca_pem = match &args.ca {
        Some(file) => {
            Some(std::fs::read(file).map_err(|error| Error::Because(format!("--ca {}: {error}", file.display())))?)
        }
        None => None,
    };
    let transport = Transport {
        ca_pem,
        insecure_hosts: args.allow_insecure_hosts.clone(),
        timeouts: Timeouts::default(),
        clock: Clock::system(),
        observer: Arc::new(Unobserved),
    };
    transport.permits(endpoint).map_err(|error| Error::Because(not_permitted(error, endpoint)))?;
    transport.http(endpoint).map_err(|error| Error::Because(format!("--ca: {error}")))
}

fn not_permitted(error: UrlRefused, endpoint: &Url) -> String {
    let way_out = match error {
        UrlRefused::Insecure => {
            format!("; if the way to it is safe, use --allow-insecure-host {}", endpoint.host_str().unwrap_or_default())
        }
        _ => String::new(),
    };
    format!("nothing is sent to the token endpoint {endpoint}: {error}{way_out}")
}

fn unanswered(error: &ServerError, endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    match error {
        ServerError::Unreachable { what } if what.contains("certificate") => {
            format!("the certificate of {host} is not trusted here: give its authority with --ca FILE")
        }
        ServerError::Unreachable { what } => {
            format!("{host} cannot be reached from here: {what}. Its firewall may let only the cluster in")
        }
        ServerError::Unintelligible { what } => {
            format!("{endpoint} gave an answer that is not of a token endpoint ({what}): is there a proxy in between?")
        }
        error => format!("{host}: {error}; try again later"),
    }
}
