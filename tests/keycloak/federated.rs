//! Clients that are known by the tokens of a cluster's service accounts: a real API server, and a real Keycloak that reads
//! its keys.

use extapp::domain::difference::between;
use extapp::domain::federation::{Federated, Trust};
use extapp::domain::registration::{ClientId, Desired};
use extapp::server::any::AnyServer;
use extapp::server::{AuthorizationServer as _, Federating as _, Lane, ServerError};
use reqwest::Method;
use serde_json::json;

use crate::contract::{authenticates, build, desired, unique};
use crate::support::keycloak::{Keycloak, Realm};
use crate::support::keys::JWT_BEARER;
use crate::support::{Context as _, ControlPlane, Error, Options, Result, TestNamespace};

struct Site {
    plane: ControlPlane,
    namespace: TestNamespace,
    realm: Realm,
    server: AnyServer,
}

impl Site {
    async fn set() -> Result<Self> {
        let plane = ControlPlane::start(Options::default().reachable_issuer()).await?;
        let namespace = plane.unique_namespace("federated").await?;
        // It ends with this process: realms are of a server that stays.
        let keycloak: &Keycloak =
            Box::leak(Box::new(Keycloak::trusting(&plane.scratch().join("apiserver.crt")).await?));
        let realm = keycloak.realm("federated").await?;
        realm.client_scope("queues").await?;
        let login = realm.operator(&["manage-clients"]).await?;
        let spec = json!({
            "keycloak": {"url": realm.server_url(), "realm": realm.name()}, "credentialsRef": {"name": "operator"}
        });
        let server = build(spec, &[("client-id", &login.id), ("client-secret", &login.secret)])?;
        let site = Self { plane, namespace, realm, server };
        for account in ["worker", "other"] {
            site.kubectl(&["create", "serviceaccount", account])?;
        }
        Ok(site)
    }

    fn kubectl(&self, words: &[&str]) -> Result<String> {
        let output = self.plane.kubectl(words).args(["--namespace", self.namespace.name()]).output()?;
        let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
        if output.status.success() { Ok(said.trim().to_owned()) } else { Err(Error::new(said)) }
    }

    /// A token as the kubelet projects it.
    fn service_account_token(&self, account: &str, audience: &str) -> Result<String> {
        self.kubectl(&["create", "token", account, "--audience", audience])
    }

    /// One that is meant for the realm.
    fn token_of(&self, account: &str) -> Result<String> {
        self.service_account_token(account, &self.realm.issuer())
    }

    /// The client that an assertion is known for: the client id in its token.
    async fn known_as(&self, assertion: &str) -> Result<Option<String>> {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "queues"),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion),
        ];
        let (status, answer) = self.realm.token(&form).await?;
        match status {
            200 => Ok(super::claims(&answer)?["azp"].as_str().map(str::to_owned)),
            400 | 401 if answer["error"] == "invalid_client" => Ok(None),
            _ => Err(Error::new(format!("{status} {answer}"))),
        }
    }

    fn trust(&self, account: &str) -> Trust {
        Trust {
            name: "pod".into(),
            issuer: self.plane.url().into(),
            audience: self.realm.issuer(),
            subject: format!("system:serviceaccount:{}:{account}", self.namespace.name()),
        }
    }

    /// A client without a secret.
    async fn registered(&self) -> Result<(ClientId, Desired)> {
        let wanted = Desired { secretless: true, ..desired(&unique("Pod"), "queues") };
        let created = self.server.create(&wanted).await?;
        assert!(created.credential.is_none());
        assert_eq!(between(&wanted, &created.registered), []);
        Ok((created.registered.client_id, wanted))
    }

    async fn refused(&self, id: &ClientId, trust: &Trust) -> Result<String> {
        match self.server.add_federated(id, trust).await {
            Err(ServerError::Rejected { text }) => Ok(text.to_string()),
            other => Err(Error::new(format!("{other:?}"))),
        }
    }
}

/// Everything that stands in the way of the first one, one after the other, until it is made.
async fn refused_until_it_can_be(site: &Site, id: &ClientId, trust: &Trust) -> Result<Federated> {
    let denied = site.server.add_federated(id, trust).await.err();
    let needed = "the role view-identity-providers of the client realm-management";
    assert_eq!(denied, Some(ServerError::Forbidden { needed }));
    site.realm.permit_operator(&["view-identity-providers"]).await?;
    let said = site.refused(id, trust).await?;
    assert!(said.contains("make one of type Kubernetes") && said.contains(site.plane.url()), "{said}");
    let provider = json!({
        "alias": "cluster", "providerId": "kubernetes", "enabled": true, "config": {"issuer": site.plane.url()},
    });
    site.realm.administer(Method::POST, "/identity-provider/instances", Some(provider)).await?;
    let elsewhere = Trust { audience: "https://elsewhere.example".into(), ..trust.clone() };
    let said = site.refused(id, &elsewhere).await?;
    assert!(said.contains("the audience must be the realm's issuer"), "{said}");
    assert_eq!(site.known_as(&site.token_of("worker")?).await?, None, "not yet");
    let made = site.server.add_federated(id, trust).await?;
    assert_eq!(site.server.federated(id, Lane::User).await?, std::slice::from_ref(&made));
    assert_eq!(made.trust, *trust);
    Ok(made)
}

async fn nobody_else_is_known(site: &Site) -> Result<()> {
    let mut forged = site.token_of("worker")?;
    let middle = forged.len() - 40;
    let other = if &forged[middle..=middle] == "A" { "B" } else { "A" };
    forged.replace_range(middle..=middle, other);
    let wrong = [
        ("another subject", site.token_of("other")?),
        ("another audience", site.service_account_token("worker", "https://elsewhere.example")?),
        ("another signature", forged),
    ];
    for (what, token) in wrong {
        assert_eq!(site.known_as(&token).await?, None, "{what}");
    }
    Ok(())
}

/// From a secret to the service account, and back to another secret.
async fn there_and_back(site: &Site, trust: &Trust) -> Result<()> {
    let with_secret = desired(&unique("Goes"), "queues");
    let created = site.server.create(&with_secret).await?;
    let (id, before) = (created.registered.client_id, created.credential.context("a secret")?.secret);
    site.server.add_federated(&id, trust).await?;
    assert_eq!(site.known_as(&site.token_of("worker")?).await?.as_deref(), Some(id.as_str()));
    assert!(!authenticates(&site.server, &id, before.expose(), "queues").await?);
    let after = site.server.update(&id, &with_secret).await?.context("another secret")?.secret;
    assert!(authenticates(&site.server, &id, after.expose(), "queues").await?);
    assert!(!authenticates(&site.server, &id, before.expose(), "queues").await?);
    assert_eq!(site.known_as(&site.token_of("worker")?).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_service_account_gets_a_token_as_the_client_that_trusts_it_and_nobody_else_does() -> Result<()> {
    let site = Site::set().await?;
    let (id, wanted) = site.registered().await?;
    let trust = site.trust("worker");
    let made = refused_until_it_can_be(&site, &id, &trust).await?;
    assert_eq!(site.known_as(&site.token_of("worker")?).await?.as_deref(), Some(id.as_str()));
    nobody_else_is_known(&site).await?;

    let (second, _) = site.registered().await?;
    let said = site.refused(&second, &trust).await?;
    assert!(said.contains(&format!("the client {id} is already known")), "{said}");

    site.server.update(&id, &Desired { display_name: unique("Renamed"), ..wanted }).await?;
    assert_eq!(site.known_as(&site.token_of("worker")?).await?.as_deref(), Some(id.as_str()), "a change leaves it");
    site.server.replace_federated(&id, &made.id, &site.trust("other")).await?;
    assert_eq!(site.known_as(&site.token_of("worker")?).await?, None);
    assert_eq!(site.known_as(&site.token_of("other")?).await?.as_deref(), Some(id.as_str()));
    for _ in 0..2 {
        site.server.remove_federated(&id, &made.id).await?;
        assert_eq!(site.server.federated(&id, Lane::User).await?, []);
    }
    assert_eq!(site.known_as(&site.token_of("other")?).await?, None);
    there_and_back(&site, &trust).await
}
