//! A stand-in in this process, whose clock the browser's script can put forward.

use axum::Router;
use axum::routing::post;
use extapp::local_cloud::{self, Clock, Config, NewPerson, Running, SigningAlgorithm};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::assets::scratch;
use crate::support::{Context, Result};

/// Longer than a person may take to answer, in milliseconds.
const TOO_LONG: i64 = 10 * 60_000 + 1;
const ADA: (&str, &str) = ("ada@acme.example", "difference engine");
const CALLBACK: &str = "https://portal.example.com/callback";

pub struct Site {
    running: Running,
    clock: Clock,
    directory: TempDir,
}

impl Site {
    pub async fn start() -> Result<Self> {
        let directory = scratch("expiry-")?;
        let mut config = Config::new("127.0.0.1:0".parse()?, "acme");
        config.clock = Clock::manual("2026-11-24T00:00:00Z".parse()?);
        // An RSA key takes too long to make for one test.
        config.signing_algorithm = SigningAlgorithm::Es256;
        config.credentials_out = Some(directory.path().join("admin.yaml"));
        let (email, password) = (ADA.0.to_owned(), ADA.1.into());
        config.people = vec![NewPerson { email, name: "Ada Lovelace".to_owned(), password, administrator: false }];
        let clock = config.clock.clone();
        let running = local_cloud::serve(config, std::future::pending()).await?;
        Ok(Self { running, clock, directory })
    }

    /// What the script is told: to ask at `later` puts the clock forward.
    pub async fn input(&self) -> Result<Value> {
        let cloud = self.running.base_url();
        let portal = json!({
            "client-id": self.register().await?,
            "redirect-uri": CALLBACK,
            "user-scope": "OR.Jobs.Read",
            "authorization-uri": format!("{cloud}/identity_/connect/authorize"),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let later = format!("http://{}/", listener.local_addr()?);
        let clock = self.clock.clone();
        let advance = move || {
            clock.advance(TOO_LONG);
            std::future::ready("later")
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(advance))).await });
        let ada = json!({"email": ADA.0, "password": ADA.1});
        Ok(json!({"cloud": cloud, "applications": {"portal": portal}, "ada": ada, "later": later}))
    }

    /// Registers an application that serves people: its client id.
    async fn register(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.directory.path().join("admin.yaml"))?;
        let manifest: Value = serde_saphyr::from_str(&text)?;
        let of = |key: &str| manifest["stringData"][key].as_str().unwrap_or_default().to_owned();
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", of("client-id")),
            ("client_secret", of("client-secret")),
            ("scope", "PM.OAuthApp".to_owned()),
        ];
        let (http, url) = (reqwest::Client::new(), self.running.url());
        let answer = http.post(format!("{url}/identity_/connect/token")).form(&form).send().await?;
        let token: Value = answer.error_for_status()?.json().await?;
        let body = json!({
            "partitionGlobalId": self.running.organization_id(),
            "name": "portal",
            "isConfidential": true,
            "redirectUri": CALLBACK,
            "scopes": [{"name": "OR.Jobs.Read", "type": 0}],
        });
        let token = token["access_token"].as_str().context("a token")?;
        let request = http.post(format!("{url}/identity_/api/ExternalClient")).bearer_auth(token).json(&body);
        let made: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }
}
