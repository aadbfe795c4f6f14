//! The pages that people see. They hold no script at all, and their one style sheet is allowed by its hash.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::errors::ApiError;

const STYLE: &str = include_str!("pages/style.css");

/// Names that end in `.html` are what makes the library escape.
const TEMPLATES: [(&str, &str); 5] = [
    ("layout.html", include_str!("pages/layout.html")),
    ("login.html", include_str!("pages/login.html")),
    ("consent.html", include_str!("pages/consent.html")),
    ("message.html", include_str!("pages/message.html")),
    ("sign_out.html", include_str!("pages/sign_out.html")),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    for (name, source) in TEMPLATES {
        if let Err(error) = environment.add_template(name, source) {
            tracing::error!(error = &error as &dyn std::error::Error, name, "a page cannot be read");
        }
    }
    environment
});

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

/// The page on which a person signs in.
#[derive(Serialize)]
pub struct Login<'a> {
    pub application: &'a str,
    pub request: &'a str,
    pub csrf: &'a str,
    /// What is in the field for the address already.
    pub email: &'a str,
    /// Whether there is nobody who could sign in.
    pub nobody: bool,
    pub problem: Option<Problem<'a>>,
}

/// Why a person is not signed in.
#[derive(Serialize)]
pub struct Problem<'a> {
    pub text: &'a str,
    /// The field to go to.
    pub field: Option<&'a str>,
}

/// The page on which a person allows something or not.
#[derive(Serialize)]
pub struct Consent<'a> {
    pub application: &'a str,
    pub request: &'a str,
    pub csrf: &'a str,
    pub name: &'a str,
    pub email: &'a str,
    pub groups: Vec<Group<'a>>,
    /// Where the browser goes next.
    pub destination: &'a str,
}

/// Scopes of one resource.
#[derive(Serialize)]
pub struct Group<'a> {
    pub title: &'a str,
    pub scopes: Vec<Scope<'a>>,
}

/// A scope in words.
#[derive(Serialize)]
pub struct Scope<'a> {
    pub name: &'a str,
    pub description: &'a str,
}

/// The page on which a person signs out.
#[derive(Serialize)]
pub struct SignOut<'a> {
    pub csrf: &'a str,
    pub name: &'a str,
    pub email: &'a str,
}

/// A page that only says something.
#[derive(Serialize)]
pub struct Message<'a> {
    pub title: &'a str,
    pub text: &'a str,
    pub code: Option<&'a str>,
}

impl Login<'_> {
    pub fn page(&self, organization: &str, status: StatusCode) -> Response {
        let title = if self.problem.is_some() { "Error: Sign in" } else { "Sign in" };
        page(organization, status, title, "login.html", self, "")
    }
}

impl Consent<'_> {
    /// `form_target` is where the answer to the form leads: a source of a content security policy.
    pub fn page(&self, organization: &str, form_target: &str) -> Response {
        page(organization, StatusCode::OK, "Allow access", "consent.html", self, form_target)
    }
}

impl SignOut<'_> {
    pub fn page(&self, organization: &str) -> Response {
        page(organization, StatusCode::OK, "Sign out", "sign_out.html", self, "")
    }
}

impl Message<'_> {
    pub fn page(&self, organization: &str, status: StatusCode) -> Response {
        page(organization, status, self.title, "message.html", self, "")
    }
}

fn page(
    organization: &str,
    status: StatusCode,
    title: &str,
    template: &str,
    view: &impl Serialize,
    form_target: &str,
) -> Response {
    let rendered =
        ENVIRONMENT.get_template(template).and_then(|template| template.render(Serde(view))).and_then(|body| {
            let layout = ENVIRONMENT.get_template("layout.html")?;
            layout.render(context! { title, organization, body, style => STYLE })
        });
    match rendered {
        Ok(html) => {
            let mut response = (status, Html(html)).into_response();
            protect(response.headers_mut(), form_target);
            response
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a page cannot be written");
            ApiError::Internal.into_response()
        }
    }
}

/// A page cannot be framed, sniffed, kept or scripted, and its address does not go to another site. The policy for
/// referrers is `same-origin` and not `no-referrer`, because under the latter browsers send `Origin: null` with forms.
fn protect(headers: &mut HeaderMap, form_target: &str) {
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {form_target}; base-uri 'none'; \
         frame-ancestors 'none'",
        *STYLE_HASH
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    keep_private(headers);
}

/// What every answer on the way through sign-in has, redirects included: nobody keeps it or tells where it was.
pub fn keep_private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn every_template_is_readable() {
        for (name, _) in TEMPLATES {
            assert!(ENVIRONMENT.get_template(name).is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_is_escaped() {
        let hostile = "\"><script>alert(1)</script>";
        let login = Login {
            application: hostile,
            request: hostile,
            csrf: hostile,
            email: hostile,
            nobody: true,
            problem: Some(Problem { text: hostile, field: None }),
        };
        let consent = Consent {
            application: hostile,
            request: hostile,
            csrf: hostile,
            name: hostile,
            email: hostile,
            groups: vec![Group { title: hostile, scopes: vec![Scope { name: hostile, description: hostile }] }],
            destination: hostile,
        };
        let message = Message { title: hostile, text: hostile, code: Some(hostile) };
        let sign_out = SignOut { csrf: hostile, name: hostile, email: hostile };
        let pages = [
            login.page(hostile, StatusCode::OK),
            consent.page(hostile, ""),
            message.page(hostile, StatusCode::OK),
            sign_out.page(hostile),
        ];
        for page in pages {
            let html = text(page).await;
            assert!(!html.contains("<script") && html.contains("&lt;script"), "{html}");
        }
    }

    #[tokio::test]
    async fn the_style_sheet_is_allowed_by_its_hash_and_nothing_else_is() {
        let page = Message { title: "t", text: "t", code: None }.page("acme", StatusCode::OK);
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let html = text(page).await;
        let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        assert!(policy.contains(&format!("style-src 'sha256-{hash}';")), "{policy}");
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    }
}
