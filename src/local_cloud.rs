//! A stand-in for the part of Automation Cloud that extapp uses: the Identity management API for external
//! applications, the OAuth endpoints that turn their credentials, and the consent of people, into access tokens, and the
//! part of Orchestrator in which those tokens are worth something: folders, roles, and queues that the roles protect.
//!
//! It is for trying and testing, on loopback, in plain HTTP. It behaves as public material shows Automation Cloud to
//! behave, awkward parts included; where that material is silent it takes the stricter reading, so that what works
//! here has a fair chance to work there. Nothing else of this program depends on it, and it on nothing else.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};
use uuid::Uuid;

mod bootstrap;
mod catalogue;
mod clock;
mod cloud;
mod config;
mod connection;
mod credentials;
mod errors;
mod faults;
mod front;
mod identity;
mod issuers;
mod keys;
mod limits;
mod log;
mod oauth;
mod orchestrator;
mod pages;
mod passwords;
mod people;
mod secrets;
mod store;

pub use clock::{Clock, NoEntropy};
pub use config::{Config, Deployment, LARGEST_PAGE, Limits, SigningAlgorithm};
pub use issuers::CaError;
pub use keys::KeyError;
pub use passwords::HashError;
pub use people::{NewPerson, PeopleError};
pub use store::StoreError;

/// The scope that every application may ask for, registered or not.
const DEFAULT_SCOPE: &str = "OR.Default";

/// How long requests that are under way may take after the end was asked for.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Why a stand-in cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could be reached from other machines.
    #[error("{0} is not a loopback address; the stand-in speaks plain HTTP and listens on loopback only")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The organization's name cannot stand in a URL as it is.
    #[error("{name:?} cannot be an organization: use letters, digits, '-' and '_'")]
    OrganizationName {
        /// The name asked for.
        name: String,
    },
    /// A tenant's name cannot stand in a URL as it is.
    #[error("{name:?} cannot be a tenant: use letters, digits, '-' and '_'")]
    TenantName {
        /// The name asked for.
        name: String,
    },
    /// The data file belongs to another organization.
    #[error("the data file is of organization {stored:?}, not {wanted:?}")]
    OtherOrganization {
        /// The name in the file.
        stored: String,
        /// The name asked for.
        wanted: String,
    },
    /// The credentials cannot be written or looked at.
    #[error("the credentials cannot be written to {path}", path = .path.display())]
    Credentials {
        /// The file asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file for the credentials holds something else.
    #[error("{path} is not a manifest of the stand-in's credentials; it is left as it is", path = .path.display())]
    ForeignFile {
        /// The file asked for.
        path: PathBuf,
    },
    /// The access log cannot be opened.
    #[error("the access log {path} cannot be opened", path = .path.display())]
    AccessLog {
        /// The file asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of certificates for issuers cannot be read.
    #[error("the certificates for issuers cannot be read from {path}", path = .path.display())]
    IssuerCa {
        /// The file asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates for issuers cannot be trusted.
    #[error("the certificates for issuers cannot be used")]
    IssuerTrust(#[from] CaError),
    /// The data file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The people who shall be able to sign in cannot be taken in.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A signing key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The server broke down.
    #[error("the server broke down")]
    Serve(#[source] io::Error),
}

impl Error {
    fn task(error: JoinError) -> Self {
        Self::Serve(io::Error::other(error))
    }
}

/// What became of the administrator's credentials at this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdministratorCredentials {
    /// Nobody asked for them.
    NotAsked,
    /// The administrator is new and its credentials are written.
    Written,
    /// The administrator was there; a further secret was made for it and is written.
    Renewed,
    /// The file was there already and is the administrator's.
    Kept,
}

/// A stand-in that answers. It goes on when this is dropped, until its shutdown future is ready.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    organization: String,
    organization_id: Uuid,
    administrator: AdministratorCredentials,
    server: JoinHandle<io::Result<()>>,
}

impl Running {
    /// The URL of the organization, without a slash at its end.
    pub fn url(&self) -> String {
        format!("{}/{}", self.base_url(), self.organization)
    }

    /// The URL of the server, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The organization's identifier: `partitionGlobalId` in requests, `prt_id` in tokens.
    pub fn organization_id(&self) -> Uuid {
        self.organization_id
    }

    /// What became of the administrator's credentials.
    pub fn administrator(&self) -> AdministratorCredentials {
        self.administrator
    }

    /// Waits for the end, after which the data file is free for another start.
    pub async fn wait(self) -> Result<(), Error> {
        self.server.await.map_err(Error::task)?.map_err(Error::Serve)
    }
}

/// Starts a stand-in, which answers when this returns and ends soon after `shutdown` is ready.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<Running, Error> {
    let issuers = trusting(&config.issuer_ca)?;
    let listener = listen(config.listen).await?;
    let address = listener.local_addr().map_err(Error::Serve)?;
    let path = config.data.clone();
    let store =
        tokio::task::spawn_blocking(move || store::Store::open(path.as_deref())).await.map_err(Error::task)??;
    let organization = bootstrap::organization(&store, &config.organization).await?;
    let keys = bootstrap::signing_keys(&store, config.signing_algorithm).await?;
    let catalogue = catalogue::Catalogue::seeded();
    let credentials_out = config.credentials_out.as_deref();
    let administrator = bootstrap::administrator(&store, &config.clock, &catalogue, credentials_out).await?;
    let tenants = bootstrap::tenants(&store, &config.clock, &config.tenants).await?;
    people::settle(&store, &config.clock, config.people).await?;
    let log = config.access_log.map(open_log).transpose()?;
    let cloud = Arc::new(cloud::Cloud {
        organization: organization.clone(),
        issuer: format!("http://{address}/identity_"),
        store,
        keys,
        catalogue,
        limiter: limits::RateLimiter::new(config.limits),
        attempts: oauth::Attempts::default(),
        issuers,
        cookie: format!("extapp-local-cloud-{}", address.port()),
        clock: config.clock,
        tenants,
        deployment: config.deployment,
        largest_page: usize::try_from(config.largest_page.max(1)).unwrap_or(usize::MAX),
    });
    let app = front::router(&cloud, log, config.faults.then(faults::Faults::default));
    let store = cloud.store.clone();
    let server = tokio::spawn(async move {
        let ended = run(listener, app, shutdown).await;
        store.close().await;
        ended
    });
    Ok(Running { address, organization: organization.name, organization_id: organization.id, administrator, server })
}

fn trusting(authorities: &[PathBuf]) -> Result<issuers::Issuers, Error> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| Error::IssuerCa { path: path.clone(), source });
    Ok(issuers::Issuers::new(&authorities.iter().map(read).collect::<Result<Vec<_>, _>>()?)?)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn open_log(path: PathBuf) -> Result<log::AccessLog, Error> {
    log::AccessLog::open(&path).map_err(|source| Error::AccessLog { path, source })
}

async fn run(
    listener: TcpListener,
    app: axum::Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (asked, ending) = oneshot::channel();
    let service = app.into_make_service_with_connect_info::<connection::Peer>();
    let server = axum::serve(connection::Connections(listener), service).with_graceful_shutdown(async move {
        shutdown.await;
        let _ = asked.send(());
    });
    let too_late = async {
        let _ = ending.await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = server => ended,
        () = too_late => Ok(()),
    }
}
