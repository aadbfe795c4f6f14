//! The backend against the stand-in of this program, which was written from the public material and not from it.

use std::collections::BTreeMap;

use extapp::local_cloud;
use extapp::server::{AuthorizationServer, Lane};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

struct StandIn {
    client: Uipath,
    _stop: oneshot::Sender<()>,
    _directory: TempDir,
}

async fn stand_in() -> StandIn {
    #[derive(serde::Deserialize)]
    struct Manifest {
        #[serde(rename = "stringData")]
        data: BTreeMap<String, String>,
    }
    let directory = tempfile::tempdir().unwrap();
    let credentials = directory.path().join("admin.yaml");
    let mut settings = local_cloud::Config::new("127.0.0.1:0".parse().unwrap(), "acme");
    settings.clock = local_cloud::Clock::manual(noon());
    settings.signing_algorithm = local_cloud::SigningAlgorithm::Es256;
    settings.credentials_out = Some(credentials.clone());
    let (stop, stopped) = oneshot::channel();
    let running = local_cloud::serve(settings, async { stopped.await.unwrap_or(()) }).await.unwrap();
    let manifest: Manifest = serde_saphyr::from_str(&std::fs::read_to_string(credentials).unwrap()).unwrap();
    let url = running.base_url().parse().unwrap();
    let observer = Arc::new(extapp::server::http::Unobserved);
    let config = Config {
        client_id: ClientId::new(&manifest.data["client-id"]),
        client_secret: ClientSecret::new(&manifest.data["client-secret"]),
        ..config(url, &Hand::default(), Limits::automation_cloud(), observer)
    };
    StandIn { client: Uipath::new(config).unwrap(), _stop: stop, _directory: directory }
}

#[tokio::test]
async fn what_is_registered_is_what_is_read() {
    let StandIn { client, _stop, _directory } = stand_in().await;
    let mut wanted = desired();
    wanted.redirect_uris = BTreeSet::from(["https://a.example/cb".into(), "https://b.example/cb".into()]);
    wanted.scopes.insert(Scope { name: "OR.Jobs".into(), grant: Grant::User });

    let created = client.create(&wanted).await.unwrap();
    let id = created.registered.client_id.clone();
    assert!(created.credential.is_some());
    let read = client.get(&id, Lane::User).await.unwrap().unwrap();
    assert_eq!(read.as_desired(), wanted);
    assert!(client.list(Lane::Resync).await.unwrap().contains(&read.as_listed()));

    let renamed = Desired {
        display_name: "Renamed".into(),
        redirect_uris: BTreeSet::from(["https://c.example".into()]),
        ..wanted
    };
    client.update(&id, &renamed).await.unwrap();
    assert_eq!(client.get(&id, Lane::User).await.unwrap().unwrap().as_desired(), renamed);

    client.delete(&id).await.unwrap();
    client.delete(&id).await.unwrap();
    assert_eq!(client.get(&id, Lane::User).await.unwrap(), None);
}

#[tokio::test]
async fn a_secret_is_found_by_its_description_until_it_is_removed() {
    let StandIn { client, _stop, _directory } = stand_in().await;
    let id = client.create(&desired()).await.unwrap().registered.client_id;
    let added = client.add_secret(&id, "extapp 2").await.unwrap();
    let secrets = || async { client.get(&id, Lane::User).await.unwrap().unwrap().secrets };
    let found = secrets().await.into_iter().find(|secret| secret.description.as_deref() == Some("extapp 2")).unwrap();
    assert_eq!(added.id.as_ref(), Some(&found.id));
    client.remove_secret(&id, &found.id).await.unwrap();
    client.remove_secret(&id, &found.id).await.unwrap();
    assert!(secrets().await.iter().all(|secret| secret.id != found.id));
}

#[tokio::test]
async fn the_catalogue_and_the_endpoints_are_there_and_an_unknown_scope_is_refused_by_name() {
    let StandIn { client, _stop, _directory } = stand_in().await;
    let catalogue = client.catalogue(Lane::Resync).await.unwrap();
    assert!(catalogue.resources.iter().any(|resource| resource.name == "UiPath.Orchestrator"));
    assert!(client.endpoints(Lane::Resync).await.unwrap().jwks_uri.is_some());
    let unknown = BTreeSet::from([Scope { name: "OR.Nope".into(), grant: Grant::Application }]);
    let error = client.create(&Desired { scopes: unknown, ..desired() }).await.unwrap_err();
    assert!(error.is_definite() && error.to_string().contains("OR.Nope"), "{error}");
}
