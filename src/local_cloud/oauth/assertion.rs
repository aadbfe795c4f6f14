//! Client assertions (RFC 7523) as federated credentials take them: what a token says, and which credential it fits.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::local_cloud::issuers::Unusable;
use crate::local_cloud::store::federated::Credential;

/// The only `client_assertion_type` there is (RFC 7523 section 2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest assertion that is taken, in bytes.
pub const LONGEST: usize = 8 * 1024;
/// How far the clock of an issuer may be ahead of this one, in seconds. An expired token is expired all the same.
const LEEWAY: i64 = 60;

/// Why an assertion proves nothing. The words are for the log: they hold nothing of the assertion, and the client is told
/// nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("the assertion is not of type {JWT_BEARER}")]
    Type,
    #[error("the client id is missing; the subject of an assertion does not stand for it")]
    NoClientId,
    #[error("the client does not exist")]
    NoClient,
    #[error("the client has no federated credential")]
    NoCredential,
    #[error("the assertion is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the assertion is not a JWT with iss, sub, aud and exp")]
    NotAJwt,
    #[error("the assertion is not signed with RS256")]
    Algorithm,
    #[error("the assertion needs an extension that is not known here (crit)")]
    Critical,
    #[error("the assertion does not say which key signed it (kid)")]
    NoKeyId,
    #[error("the assertion has not exactly one audience")]
    Audiences,
    #[error("no federated credential of the client has the issuer of the assertion")]
    Issuer,
    #[error("no federated credential of the client has the audience of the assertion with its issuer")]
    Audience,
    #[error("no federated credential of the client has the subject of the assertion with its issuer and audience")]
    Subject,
    #[error("the assertion has expired")]
    Expired,
    #[error("the assertion is not valid yet (nbf or iat)")]
    NotYet,
    #[error("the signature cannot be verified: {0}")]
    Key(Unusable),
    #[error("the signature of the assertion is wrong")]
    Signature,
}

/// An assertion that was read and not believed yet.
#[derive(Debug)]
pub struct Assertion<'a> {
    text: &'a str,
    key_id: String,
    claims: Claims,
    audience: String,
}

/// Of the header nothing else is looked at: it is the sender's word, and names neither the key nor where to find it.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audiences,
    /// Seconds since the Unix epoch, as are the next two.
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl<'a> Assertion<'a> {
    /// Reads an assertion in the compact form (RFC 7515 section 7.1).
    pub fn read(text: &'a str) -> Result<Self, Wrong> {
        if text.len() > LONGEST {
            return Err(Wrong::TooLong);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let &[header, claims, _] = parts.as_slice() else { return Err(Wrong::NotAJwt) };
        let header: Header = part(header)?;
        if header.alg != "RS256" {
            return Err(Wrong::Algorithm);
        }
        if header.crit.is_some() {
            return Err(Wrong::Critical);
        }
        let key_id = header.kid.filter(|id| !id.is_empty()).ok_or(Wrong::NoKeyId)?;
        let claims: Claims = part(claims)?;
        let audience = match &claims.aud {
            Audiences::One(audience) => audience.clone(),
            Audiences::Several(audiences) => match audiences.as_slice() {
                [audience] => audience.clone(),
                _ => return Err(Wrong::Audiences),
            },
        };
        Ok(Self { text, key_id, claims, audience })
    }

    /// The issuer, once [`Self::fits`] has found that a credential has it.
    pub fn issuer(&self) -> &str {
        &self.claims.iss
    }

    /// Which of the issuer's keys is to verify it.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether one of a client's credentials has its issuer, audience and subject, byte for byte.
    pub fn fits(&self, credentials: &[Credential]) -> Result<(), Wrong> {
        let trusts = || credentials.iter().map(|credential| &credential.trust);
        let of_issuer = || trusts().filter(|trust| trust.issuer == self.claims.iss);
        let of_audience = || of_issuer().filter(|trust| trust.audience == self.audience);
        if credentials.is_empty() {
            return Err(Wrong::NoCredential);
        }
        if of_issuer().next().is_none() {
            return Err(Wrong::Issuer);
        }
        if of_audience().next().is_none() {
            return Err(Wrong::Audience);
        }
        if of_audience().any(|trust| trust.subject == self.claims.sub) { Ok(()) } else { Err(Wrong::Subject) }
    }

    /// Whether it is valid at `now`, in seconds since the Unix epoch.
    pub fn current(&self, now: i64) -> Result<(), Wrong> {
        if self.claims.exp <= now {
            return Err(Wrong::Expired);
        }
        let begins = [self.claims.nbf, self.claims.iat].into_iter().flatten();
        if begins.into_iter().any(|time| time > now.saturating_add(LEEWAY)) { Err(Wrong::NotYet) } else { Ok(()) }
    }

    /// Whether `key` signed it, with RS256 whatever its header says.
    pub fn is_signed_by(&self, key: &DecodingKey) -> Result<(), Wrong> {
        let mut validation = Validation::new(Algorithm::RS256);
        // What it says has been judged by the clock of this stand-in and by the client's credentials.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode::<IgnoredAny>(self.text, key, &validation).map_err(|_| Wrong::Signature)?;
        Ok(())
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Wrong::NotAJwt)?;
    serde_json::from_slice(&bytes).map_err(|_| Wrong::NotAJwt)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::local_cloud::store::federated::Trust;

    fn jwt(header: &Value, claims: &Value) -> String {
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmF0dXJl", encoded(header), encoded(claims))
    }

    fn header() -> Value {
        json!({ "alg": "RS256", "kid": "one", "typ": "JWT" })
    }

    fn claims() -> Value {
        json!({ "iss": "https://issuer.example", "sub": "worker", "aud": ["cloud"], "exp": 1000 })
    }

    /// The claims with one of them changed, or taken out by null.
    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }

    fn judged(claims: &Value, now: i64) -> Result<(), Wrong> {
        let text = jwt(&header(), claims);
        let assertion = Assertion::read(&text)?;
        let other = |issuer: &str, audience: &str, subject: &str| Credential {
            id: "id".to_owned(),
            trust: Trust {
                name: "name".to_owned(),
                description: None,
                issuer: issuer.to_owned(),
                audience: audience.to_owned(),
                subject: subject.to_owned(),
            },
        };
        let credentials = [
            other("https://other.example", "cloud", "other"),
            other("https://issuer.example", "another", "other"),
            other("https://issuer.example", "cloud", "worker"),
        ];
        assertion.fits(&credentials)?;
        assertion.current(now)
    }

    #[test]
    fn issuer_audience_and_subject_fit_one_credential_byte_for_byte_and_together() {
        assert_eq!(judged(&claims(), 0), Ok(()));
        assert_eq!(judged(&with("aud", json!("cloud")), 0), Ok(()));
        for (name, value, wrong) in [
            ("iss", json!("https://issuer.example/"), Wrong::Issuer),
            ("iss", json!("HTTPS://issuer.example"), Wrong::Issuer),
            ("aud", json!("Cloud"), Wrong::Audience),
            ("aud", json!("*"), Wrong::Audience),
            ("aud", json!(["another"]), Wrong::Subject),
            ("sub", json!("other"), Wrong::Subject),
            ("sub", json!("worke"), Wrong::Subject),
        ] {
            assert_eq!(judged(&with(name, value.clone()), 0), Err(wrong), "{name}: {value}");
        }
        let text = jwt(&header(), &claims());
        assert_eq!(Assertion::read(&text).unwrap().fits(&[]), Err(Wrong::NoCredential));
    }

    #[test]
    fn there_is_exactly_one_audience() {
        for audiences in [json!([]), json!(["cloud", "cloud"]), json!(["cloud", "another"])] {
            assert_eq!(judged(&with("aud", audiences.clone()), 0), Err(Wrong::Audiences), "{audiences}");
        }
        for audience in [json!(7), json!([7]), json!({}), Value::Null] {
            assert_eq!(judged(&with("aud", audience.clone()), 0), Err(Wrong::NotAJwt), "{audience}");
        }
    }

    #[test]
    fn it_expires_to_the_second_and_may_come_from_a_clock_that_is_a_little_ahead() {
        assert_eq!(judged(&claims(), 999), Ok(()));
        assert_eq!(judged(&claims(), 1000), Err(Wrong::Expired));
        assert_eq!(judged(&with("exp", Value::Null), 0), Err(Wrong::NotAJwt));
        assert_eq!(judged(&with("exp", json!("1000")), 0), Err(Wrong::NotAJwt));
        for name in ["nbf", "iat"] {
            assert_eq!(judged(&with(name, json!(LEEWAY)), 0), Ok(()), "{name}");
            assert_eq!(judged(&with(name, json!(LEEWAY + 1)), 0), Err(Wrong::NotYet), "{name}");
            assert_eq!(judged(&with(name, json!(i64::MAX)), i64::MAX - 1), Err(Wrong::Expired), "{name}");
        }
    }

    #[test]
    fn its_header_says_rs256_and_names_a_key_and_nothing_that_must_be_understood() {
        let read = |header: Value| Assertion::read(&jwt(&header, &claims())).map(|_| ());
        for algorithm in ["none", "None", "HS256", "ES256", "PS256", "RS512", "rs256", ""] {
            assert_eq!(read(json!({ "alg": algorithm, "kid": "one" })), Err(Wrong::Algorithm), "{algorithm}");
        }
        assert_eq!(read(json!({ "kid": "one" })), Err(Wrong::NotAJwt));
        assert_eq!(read(json!({ "alg": "RS256" })), Err(Wrong::NoKeyId));
        assert_eq!(read(json!({ "alg": "RS256", "kid": "" })), Err(Wrong::NoKeyId));
        assert_eq!(read(json!({ "alg": "RS256", "kid": "one", "crit": ["b64"], "b64": false })), Err(Wrong::Critical));
        let leading = json!({ "alg": "RS256", "kid": "one", "jku": "https://evil.example", "jwk": { "kty": "oct" } });
        assert_eq!(read(leading), Ok(()));
    }

    #[test]
    fn what_is_no_jwt_is_told_from_what_is_too_long() {
        for text in ["", "a", "a.b", "..", "a.b.c", "a.b.c.d", "e30.e30.", "e30.e30.e30"] {
            assert_eq!(Assertion::read(text).map(|_| ()), Err(Wrong::NotAJwt), "{text}");
        }
        let twice = URL_SAFE_NO_PAD.encode(r#"{"iss":"a","iss":"b","sub":"s","aud":"x","exp":1}"#);
        let text = format!("{}.{twice}.c2ln", URL_SAFE_NO_PAD.encode(header().to_string()));
        assert_eq!(Assertion::read(&text).map(|_| ()), Err(Wrong::NotAJwt));
        let padded = |length: usize| {
            let text = jwt(&header(), &claims());
            format!("{text}{}", "A".repeat(length - text.len()))
        };
        assert!(Assertion::read(&padded(LONGEST)).is_ok());
        assert_eq!(Assertion::read(&padded(LONGEST + 1)).map(|_| ()), Err(Wrong::TooLong));
    }

    #[test]
    fn no_reason_for_the_log_holds_what_the_sender_wrote() {
        let marked = with("sub", json!("a-mark-of-the-sender"));
        let wrong = judged(&marked, 0).unwrap_err();
        assert!(!wrong.to_string().contains("a-mark") && !format!("{wrong:?}").contains("a-mark"));
    }
}
