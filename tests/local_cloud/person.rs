//! A person with a browser, as far as forms, cookies and redirects go.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use extapp::local_cloud::NewPerson;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Cloud, taken, text};

pub const ADA: (&str, &str) = ("ada@acme.example", "difference engine");
pub const BOB: (&str, &str) = ("bob@acme.example", "builds everything");
pub const CALLBACK: &str = "http://localhost:5173/";
/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Form parameters.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

pub fn people() -> Vec<NewPerson> {
    let person = |(email, password): (&str, &str), name: &str, administrator| NewPerson {
        email: email.to_owned(),
        name: name.to_owned(),
        password: password.into(),
        administrator,
    };
    vec![person(ADA, "Ada Lovelace", true), person(BOB, "Bob", false)]
}

impl Cloud {
    /// With Ada and Bob, who can sign in.
    pub async fn with_people() -> Self {
        Self::start_with(|config| config.people = people()).await
    }

    /// A confidential application that serves people, answered at [`CALLBACK`]: client id and secret.
    pub async fn web_application(&self) -> (String, String) {
        let scopes = json!([
            { "name": "OR.Jobs", "type": 0 },
            { "name": "OR.Assets.Read", "type": 0 },
            { "name": "OR.Queues", "type": 1 },
        ]);
        self.created("Time sheets", &scopes).await
    }

    /// A non-confidential application with these redirect URIs: its client id.
    pub async fn native_application(&self, redirect_uris: &str) -> String {
        let mut request = self.application("Desktop", &json!([{ "name": "OR.Jobs", "type": 0 }]));
        request["isConfidential"] = json!(false);
        request["redirectUri"] = json!(redirect_uris);
        text(&self.post("ExternalClient", &request).await.1, "id")
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}/identity_{path}", self.running.base_url())
    }

    /// Sends a form to an OAuth endpoint.
    pub async fn form(&self, path: &str, form: Pairs<'_>) -> (u16, Value) {
        taken(self.http.post(self.at(path)).form(form).send().await.unwrap()).await
    }

    /// Redeems a code as the client with this id and secret; an empty secret is none.
    pub async fn redeem(&self, client: (&str, &str), code: &str, more: Pairs<'_>) -> (u16, Value) {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", client.0),
            ("client_secret", client.1),
            ("code", code),
        ];
        if !more.iter().any(|(name, _)| *name == "redirect_uri") {
            form.push(("redirect_uri", CALLBACK));
        }
        form.extend_from_slice(more);
        self.form("/connect/token", &form).await
    }

    pub async fn refresh(&self, client: (&str, &str), token: &str, more: Pairs<'_>) -> (u16, Value) {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", client.0),
            ("client_secret", client.1),
            ("refresh_token", token),
        ];
        form.extend_from_slice(more);
        self.form("/connect/token", &form).await
    }

    /// Ada signs in and allows `scope` to the web application; what the application then gets.
    pub async fn tokens(&self, client: &(String, String), scope: &str) -> Value {
        let code = Visitor::new(self).code(&[("client_id", &client.0), ("scope", scope)]).await;
        let (status, answer) = self.redeem((&client.0, &client.1), &code, &[]).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The status of the userinfo endpoint for an access token.
    pub async fn userinfo(&self, token: &str) -> (u16, Value) {
        taken(self.http.get(self.at("/connect/userinfo")).bearer_auth(token).send().await.unwrap()).await
    }
}

/// What is in a JWT, unverified.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// The query of a URL.
pub fn query(url: &Url) -> BTreeMap<String, String> {
    url.query_pairs().into_owned().collect()
}

/// One browser, which keeps its cookie and follows no redirect unless it is told to.
pub struct Visitor {
    base: String,
    http: Client,
    pub cookie: Option<String>,
}

/// An answer, where it came from, and where it leads.
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub html: String,
}

impl Page {
    /// Where a redirect leads.
    pub fn location(&self) -> Option<Url> {
        self.headers.get(LOCATION).map(|location| self.url.join(location.to_str().unwrap()).unwrap())
    }

    /// The value of an input.
    pub fn input(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.html.split_once(&format!("name=\"{name}\" value=\""))?;
        rest.split('"').next()
    }

    /// The hidden inputs of the form.
    pub fn hidden(&self) -> Vec<(&str, &str)> {
        ["request", "csrf"].into_iter().filter_map(|name| Some((name, self.input(name)?))).collect()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Visitor {
    pub fn new(cloud: &Cloud) -> Self {
        Self::at(&cloud.running.base_url())
    }

    /// With the stand-in at this base URL.
    pub fn at(base: &str) -> Self {
        let http = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { base: base.to_owned(), http, cookie: None }
    }

    pub async fn get(&mut self, url: &str) -> Page {
        let request = self.http.get(url);
        self.send(request).await
    }

    pub async fn post(&mut self, url: &str, form: Pairs<'_>) -> Page {
        let request = self.http.post(url).form(form);
        self.send(request).await
    }

    pub async fn post_with(&mut self, url: &str, form: Pairs<'_>, headers: Pairs<'_>) -> Page {
        let request = self.http.post(url).form(form);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request).await
    }

    async fn send(&mut self, mut request: RequestBuilder) -> Page {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = request.send().await.unwrap();
        if let Some(set) = response.headers().get(SET_COOKIE) {
            self.cookie = set.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        let (url, status, headers) = (response.url().clone(), response.status().as_u16(), response.headers().clone());
        Page { url, status, headers, html: response.text().await.unwrap() }
    }

    /// Follows redirects as long as they stay at the stand-in.
    pub async fn follow(&mut self, mut page: Page) -> Page {
        while let Some(next) = page.location().filter(|next| next.as_str().starts_with(&self.base)) {
            page = self.get(next.as_str()).await;
        }
        page
    }

    /// The address of an authorization request; what is not said is as it usually is.
    pub fn request(&self, parameters: Pairs<'_>) -> String {
        let mut url = Url::parse(&format!("{}/identity_/connect/authorize", self.base)).unwrap();
        for (name, value) in [("response_type", "code"), ("redirect_uri", CALLBACK), ("scope", "OR.Jobs")] {
            if !parameters.iter().any(|(said, _)| *said == name) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        url.query_pairs_mut().extend_pairs(parameters);
        url.into()
    }

    /// Begins an authorization request and goes on to the page that it leads to.
    pub async fn begin(&mut self, parameters: Pairs<'_>) -> Page {
        let page = self.get(&self.request(parameters)).await;
        self.follow(page).await
    }

    /// Fills in the log-in page and sends it, without following.
    pub async fn log_in(&mut self, page: &Page, (email, password): (&str, &str)) -> Page {
        let mut form = page.hidden();
        form.extend([("email", email), ("password", password)]);
        let action = page.url.join("login").unwrap();
        self.post(action.as_str(), &form).await
    }

    /// Presses a button of the consent page, without following.
    pub async fn decide(&mut self, page: &Page, decision: &str) -> Page {
        let mut form = page.hidden();
        form.push(("decision", decision));
        let action = page.url.join("consent").unwrap();
        self.post(action.as_str(), &form).await
    }

    /// Up to the consent page as Ada.
    pub async fn consent_page(&mut self, parameters: Pairs<'_>) -> Page {
        let page = self.begin(parameters).await;
        if page.url.path().ends_with("/consent") {
            return page;
        }
        let page = self.log_in(&page, ADA).await;
        assert_eq!(page.status, 303, "{}", page.html);
        self.follow(page).await
    }

    /// All the way back to the client as Ada: the address it is called at.
    pub async fn allow(&mut self, parameters: Pairs<'_>) -> Url {
        let page = self.consent_page(parameters).await;
        let page = self.decide(&page, "allow").await;
        page.location().unwrap_or_else(|| panic!("{} {}", page.status, page.html))
    }

    /// The code that somebody else's consent gives.
    pub async fn code_of(&mut self, person: (&str, &str), parameters: Pairs<'_>) -> String {
        let page = self.begin(parameters).await;
        let page = self.log_in(&page, person).await;
        let page = self.follow(page).await;
        let page = self.decide(&page, "allow").await;
        query(&page.location().unwrap())["code"].clone()
    }

    pub async fn code(&mut self, parameters: Pairs<'_>) -> String {
        query(&self.allow(parameters).await)["code"].clone()
    }
}
