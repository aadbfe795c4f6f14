//! etcd, kube-apiserver and kube-controller-manager on loopback: a cluster without nodes, real in all that extapp meets.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::assets::{Assets, scratch};
use super::error::{Context, Error, Result};
use super::kubeconfig::{self, Identity, write_private};
use super::namespace::TestNamespace;
use super::process::{Guarded, Launch};
use super::wait::{apply_yaml, eventually};

pub const ADMINISTRATOR: &str = "extapp-administrator";
pub const OPERATOR_NAMESPACE: &str = "extapp-system";
pub const OPERATOR: &str = "system:serviceaccount:extapp-system:extapp";

/// How often a start is tried when another process takes one of the ports between their choice and their use.
const ATTEMPTS: usize = 5;
const START_LIMIT: Duration = Duration::from_mins(2);

/// Lets verifiers read the keys of service-account tokens without a token of their own.
const ISSUER_DISCOVERY: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: service-account-issuer-discovery-for-everyone
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: system:service-account-issuer-discovery
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: Group
  name: system:unauthenticated
";

/// What a control plane is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    users: Vec<(String, Vec<String>)>,
    manifests: Vec<String>,
    reachable_issuer: bool,
    api_server_flags: Vec<String>,
}

impl Options {
    /// One more user, beside the administrator and the operator.
    pub fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.users.push((name.to_owned(), groups.iter().map(|&group| group.to_owned()).collect()));
        self
    }

    /// YAML applied before the controllers start. The place for CustomResourceDefinitions: the garbage collector looks
    /// for new kinds only every 30 s, but knows at once what was there before it.
    pub fn manifest(mut self, yaml: impl Into<String>) -> Self {
        self.manifests.push(yaml.into());
        self
    }

    /// What an installation brings: every file of `crds/`, and `deploy/rbac.yaml`.
    pub fn installed(mut self) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join("deploy/rbac.yaml")];
        if let Ok(folder) = std::fs::read_dir(root.join("crds")) {
            files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
        }
        files.retain(|file| file.is_file() && file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        for file in files {
            self.manifests.push(std::fs::read_to_string(&file).context(file.display())?);
        }
        Ok(self)
    }

    /// Makes the API server's own URL the issuer of service-account tokens and its keys readable by everyone, as
    /// federated credentials need.
    pub fn reachable_issuer(mut self) -> Self {
        self.reachable_issuer = true;
        self
    }

    pub fn api_server_flag(mut self, flag: impl Into<String>) -> Self {
        self.api_server_flags.push(flag.into());
        self
    }

    fn identities(&self) -> Result<Vec<Identity>> {
        let operator_groups =
            ["system:serviceaccounts", "system:serviceaccounts:extapp-system", "system:authenticated"];
        let mut identities =
            vec![Identity::new(ADMINISTRATOR, &["system:masters"])?, Identity::new(OPERATOR, &operator_groups)?];
        for (user, groups) in &self.users {
            identities.push(Identity::new(user, &groups.iter().map(String::as_str).collect::<Vec<_>>())?);
        }
        Ok(identities)
    }
}

/// A running control plane; everything of it ends when it is dropped, or when this process ends in any other way.
pub struct ControlPlane {
    // Fields are dropped in this order: clients of a process end before it, and all of them before their files.
    controller_manager: Guarded,
    api_server: Guarded,
    etcd: Guarded,
    url: String,
    kubectl: PathBuf,
    identities: Vec<Identity>,
    scratch: TempDir,
}

impl ControlPlane {
    pub async fn start(options: Options) -> Result<Self> {
        let assets = tokio::task::spawn_blocking(Assets::find).await??;
        let mut attempt = 1;
        loop {
            match Self::try_start(&assets, &options).await {
                Err(error) if attempt < ATTEMPTS && error.to_string().contains("address already in use") => {
                    attempt += 1;
                }
                result => return result.context("cannot start a control plane"),
            }
        }
    }

    async fn try_start(assets: &Assets, options: &Options) -> Result<Self> {
        let scratch = scratch("control-plane-")?;
        let [client_port, peer_port, secure_port] = free_ports()?;
        let identities = options.identities()?;
        let token_lines: String = identities.iter().map(Identity::token_line).collect();
        write_private(&scratch.path().join("tokens.csv"), &token_lines)?;
        let key = tokio::task::spawn_blocking(signing_key).await??;
        write_private(&scratch.path().join("service-accounts.pem"), &key)?;

        let mut etcd = start_etcd(assets, scratch.path(), client_port, peer_port)?;
        let mut api_server = start_api_server(assets, options, scratch.path(), client_port, secure_port)?;
        let url = format!("https://127.0.0.1:{secure_port}");
        let client = ready_client(&mut etcd, &mut api_server, &identities, &url, scratch.path()).await?;
        if options.reachable_issuer {
            apply_yaml(&client, ISSUER_DISCOVERY).await?;
        }
        add_namespace(&client, OPERATOR_NAMESPACE).await?;
        for manifest in &options.manifests {
            apply_yaml(&client, manifest).await?;
        }
        let administrator = identities[0].kubeconfig_path(scratch.path());
        let mut controller_manager = start_controller_manager(assets, scratch.path(), &administrator)?;
        controllers_run(&mut controller_manager, client).await?;
        Ok(Self { controller_manager, api_server, etcd, url, kubectl: assets.kubectl.clone(), identities, scratch })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of its data, logs and credentials.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The certificate of the API server, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.scratch().join("apiserver.crt")
    }

    /// Its processes, for measurements.
    pub fn processes(&self) -> [(&'static str, &Guarded); 3] {
        [
            ("etcd", &self.etcd),
            ("kube-apiserver", &self.api_server),
            ("kube-controller-manager", &self.controller_manager),
        ]
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.identities[0].kubeconfig_path(self.scratch())
    }

    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.identities[1].kubeconfig_path(self.scratch())
    }

    /// For a user of [`Options::user`].
    pub fn kubeconfig_for(&self, user: &str) -> Result<PathBuf> {
        let identity = self.identities.iter().find(|identity| identity.user == user);
        Ok(identity
            .context(format!("the control plane was started without the user {user}"))?
            .kubeconfig_path(self.scratch()))
    }

    pub async fn admin_client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.admin_kubeconfig()).await
    }

    pub async fn operator_client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.operator_kubeconfig()).await
    }

    pub async fn client_for(&self, user: &str) -> Result<kube::Client> {
        kubeconfig::client(&self.kubeconfig_for(user)?).await
    }

    /// kubectl as the administrator, leaving no files in the person's home.
    pub fn kubectl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", self.admin_kubeconfig()).env("KUBECACHEDIR", self.scratch().join("kubectl-cache"));
        command.args(args);
        command
    }

    /// A fresh namespace, deleted when the handle is dropped.
    pub async fn unique_namespace(&self, prefix: &str) -> Result<TestNamespace> {
        TestNamespace::create(&self.admin_kubeconfig(), prefix).await
    }

    pub async fn add_namespace(&self, name: &str) -> Result<()> {
        add_namespace(&self.admin_client().await?, name).await
    }
}

/// The control plane of this test process, with extapp's kinds and permissions installed and an issuer of service-account
/// tokens that everybody can look up: started by the first test that asks, and ended with the process, since statics are
/// never dropped.
pub async fn shared() -> Result<&'static ControlPlane> {
    static SHARED: OnceCell<Result<ControlPlane>> = OnceCell::const_new();
    // A failure is kept too: every test would fail the same way, after the same wait.
    let start = || async { ControlPlane::start(Options::default().installed()?.reachable_issuer()).await };
    SHARED.get_or_init(start).await.as_ref().map_err(Error::new)
}

/// Ports that were free a moment ago, all different because they are held together.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<_> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// RSA, because that is what clusters sign with and verifiers expect.
fn signing_key() -> Result<String> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::new("cannot make an RSA key"))?;
    let der = pair.as_der().map_err(|_| Error::new("cannot encode the RSA key"))?;
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

fn start(program: &Path, name: &str, scratch: &Path, flags: &[String]) -> Result<Guarded> {
    let add_flags = |command: &mut Command| {
        command.args(flags);
    };
    Launch::new(name, program, scratch).command(add_flags).removing(scratch).start()
}

fn start_etcd(assets: &Assets, scratch: &Path, client_port: u16, peer_port: u16) -> Result<Guarded> {
    let flags = [
        format!("--data-dir={}", scratch.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{client_port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client_port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
        // The data is thrown away with the process.
        "--unsafe-no-fsync".to_owned(),
    ];
    start(&assets.etcd, "etcd", scratch, &flags)
}

fn start_api_server(assets: &Assets, options: &Options, scratch: &Path, etcd: u16, port: u16) -> Result<Guarded> {
    let key = scratch.join("service-accounts.pem");
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--cert-dir={}", scratch.display()),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={}", scratch.join("tokens.csv").display()),
        format!("--service-account-signing-key-file={}", key.display()),
        format!("--service-account-key-file={}", key.display()),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // It would hold up pods until their service account has been made; there are no pods.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
    ];
    if options.reachable_issuer {
        flags.push(format!("--service-account-issuer=https://127.0.0.1:{port}"));
        flags.push(format!("--service-account-jwks-uri=https://127.0.0.1:{port}/openid/v1/jwks"));
    } else {
        flags.push("--service-account-issuer=https://kubernetes.default.svc".to_owned());
    }
    flags.extend(options.api_server_flags.iter().cloned());
    start(&assets.kube_apiserver, "kube-apiserver", scratch, &flags)
}

fn start_controller_manager(assets: &Assets, scratch: &Path, kubeconfig: &Path) -> Result<Guarded> {
    let kubeconfig = kubeconfig.display();
    let flags = [
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,\
         clusterrole-aggregation-controller,deployment-controller,replicaset-controller,statefulset-controller,\
         daemonset-controller"
            .to_owned(),
        format!("--service-account-private-key-file={}", scratch.join("service-accounts.pem").display()),
        "--bind-address=127.0.0.1".to_owned(),
        "--secure-port=0".to_owned(),
        // The default of 20 requests a second would make the clean-up of many namespaces the slowest part of a run.
        "--kube-api-qps=200".to_owned(),
        "--kube-api-burst=400".to_owned(),
    ];
    start(&assets.kube_controller_manager, "kube-controller-manager", scratch, &flags)
}

/// Waits until the API server says it is ready; writes the kubeconfig files, since its certificate is its own making.
async fn ready_client(
    etcd: &mut Guarded,
    api_server: &mut Guarded,
    identities: &[Identity],
    url: &str,
    scratch: &Path,
) -> Result<kube::Client> {
    let ready = eventually("the API server is ready", START_LIMIT, async || {
        for process in [&mut *etcd, &mut *api_server] {
            if let Some(status) = process.exited()? {
                return Ok(Some(Err(Error::new(format!("ended with {status}; {}", process.log_tail())))));
            }
        }
        let certificate = std::fs::read(scratch.join("apiserver.crt")).context("no serving certificate yet")?;
        for identity in identities {
            identity.write_kubeconfig(scratch, url, &certificate)?;
        }
        let client = kubeconfig::client(&identities[0].kubeconfig_path(scratch)).await?;
        client.request_text(http_get("/readyz")?).await?;
        Ok(Some(Ok(client)))
    });
    let ready = ready.await;
    ready.map_err(|error| Error::new(format!("{error}; {}", api_server.log_tail())))?
}

fn http_get(path: &str) -> Result<axum::http::Request<Vec<u8>>> {
    Ok(axum::http::Request::get(path).body(Vec::new())?)
}

/// Every namespace gets a service account from a controller, so that its appearance shows that they work.
async fn controllers_run(controller_manager: &mut Guarded, client: kube::Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, OPERATOR_NAMESPACE);
    let running = eventually("the controllers run", START_LIMIT, async || {
        if let Some(status) = controller_manager.exited()? {
            return Ok(Some(Err(Error::new(format!("ended with {status}; {}", controller_manager.log_tail())))));
        }
        Ok(accounts.get_opt("default").await?.map(|_| Ok(())))
    });
    let running = running.await;
    running.map_err(|error| Error::new(format!("{error}; {}", controller_manager.log_tail())))?
}

async fn add_namespace(client: &kube::Client, name: &str) -> Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    match Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => result.map(|_| ()).context(format!("namespace {name}")),
    }
}
