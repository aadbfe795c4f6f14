//! The keys that an application signs its client assertions with: a JSON Web Key Set (RFC 7517 section 5).

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

/// The members of a key that say which key it is and what it is for (RFC 7517 section 4, RFC 7518 section 6). Servers drop
/// others as they like.
const MEMBERS: [&str; 9] = ["kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"];
/// Those that are numbers: some write them with zeros before, and some without.
const NUMBERS: [&str; 4] = ["x", "y", "n", "e"];
/// Those that only the owner of a key may know (RFC 7518 section 6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Public keys. Two sets are equal where they have the same keys, whatever their order and spelling.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct KeySet(Value);

impl KeySet {
    /// What a person wrote; or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let keys = value.get("keys").and_then(Value::as_array).filter(|keys| !keys.is_empty());
        let keys = keys.ok_or("it must be a JSON Web Key Set: an object whose member keys lists at least one key")?;
        let mut names = BTreeSet::new();
        for (index, key) in keys.iter().enumerate() {
            let at = |what: &str| format!("key {}: {what}", index + 1);
            let members = key.as_object().ok_or_else(|| at("it is no JSON object"))?;
            public(members).map_err(|what| at(&what))?;
            if let Some(kid) = members.get("kid").and_then(Value::as_str)
                && !names.insert(kid)
            {
                return Err(at("an earlier key has the same kid"));
            }
        }
        Ok(Self(value))
    }

    /// What a server has; `None` where it has no keys.
    pub fn read(value: Value) -> Option<Self> {
        let some = value.get("keys").and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
        some.then_some(Self(value))
    }

    /// The set as it was written.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// The one algorithm (RFC 7518 section 3.1) that all keys sign with; `None` where they differ or do not say.
    pub fn algorithm(&self) -> Option<&str> {
        let mut all = self.keys().map(algorithm);
        let first = all.next()??;
        all.all(|other| other == Some(first)).then_some(first)
    }

    fn keys(&self) -> impl Iterator<Item = &Value> {
        self.0.get("keys").and_then(Value::as_array).into_iter().flatten()
    }

    fn comparable(&self) -> BTreeSet<String> {
        self.keys().map(|key| comparable(key).to_string()).collect()
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.comparable() == other.comparable()
    }
}

impl Eq for KeySet {}

impl fmt::Display for KeySet {
    /// The keys in one order and one spelling: equal sets look alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.comparable().into_iter().collect();
        write!(f, "{{\"keys\":[{}]}}", keys.join(","))
    }
}

/// Whether these are the members of a public key.
fn public(members: &Map<String, Value>) -> Result<(), String> {
    if let Some(name) = PRIVATE.iter().find(|name| members.contains_key(**name)) {
        return Err(format!(
            "it has the private member {name}: remove it, and make another key, since this one was shown"
        ));
    }
    let needed: &[&str] = match members.get("kty").and_then(Value::as_str) {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        _ => return Err("kty must be RSA, EC or OKP".to_owned()),
    };
    let is_there = |name: &&&str| members.get(**name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if let Some(missing) = needed.iter().find(|name| !is_there(name)) {
        return Err(format!("it has no {missing}"));
    }
    let numbers = needed.iter().filter(|name| NUMBERS.contains(name));
    let unreadable = |name: &&&str| number(members.get(**name).and_then(Value::as_str).unwrap_or_default()).is_none();
    match numbers.into_iter().find(unreadable) {
        Some(name) => Err(format!("{name} is not in base64url")),
        None => Ok(()),
    }
}

fn algorithm(key: &Value) -> Option<&str> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    text("alg").or_else(|| match text("crv")? {
        "P-256" => Some("ES256"),
        "P-384" => Some("ES384"),
        "P-521" => Some("ES512"),
        "Ed25519" => Some("EdDSA"),
        _ => None,
    })
}

fn comparable(key: &Value) -> Value {
    let member = |name: &&str| {
        let value = key.get(*name)?;
        let number = if NUMBERS.contains(name) { value.as_str().and_then(number) } else { None };
        Some(((*name).to_owned(), number.map_or_else(|| value.clone(), Value::from)))
    };
    Value::Object(MEMBERS.iter().filter_map(member).collect())
}

/// A number in base64url without zeros before it (RFC 7518 section 2).
fn number(text: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(URL_SAFE_NO_PAD.encode(&bytes[zeros..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(kid: &str, n: &str) -> Value {
        json!({"kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": "AQAB"})
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(&json!({"keys": keys}).to_string()).expect("a key set")
    }

    #[test]
    fn the_same_keys_are_equal_in_any_order_and_with_what_servers_drop() {
        let (one, two) = (rsa("1", "wQ"), rsa("2", "wg"));
        assert_eq!(set(&[one.clone(), two.clone()]), set(&[two.clone(), one.clone()]));
        let mut more = one.clone();
        more["key_ops"] = json!(["verify"]);
        more["x5c"] = json!(["MII"]);
        assert_eq!(set(&[more]), set(std::slice::from_ref(&one)));
        let zeros_before = rsa("1", &URL_SAFE_NO_PAD.encode([0, 0xc1]));
        assert_eq!(set(&[zeros_before]), set(std::slice::from_ref(&one)));
        for other in [rsa("1", "wg"), rsa("3", "wQ")] {
            assert_ne!(set(std::slice::from_ref(&one)), set(std::slice::from_ref(&other)));
            assert_ne!(set(std::slice::from_ref(&one)).to_string(), set(&[other]).to_string());
        }
        assert_ne!(set(std::slice::from_ref(&one)), set(&[one, two]));
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_refused_with_the_key_and_the_reason() {
        let cases = [
            (json!({}), "at least one key"),
            (json!({"keys": []}), "at least one key"),
            (json!({"keys": ["x"]}), "key 1: it is no JSON object"),
            (json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), "key 1: it has the private member k"),
            (
                json!({"keys": [rsa("1", "wQ"), {"kty": "EC", "crv": "P-256", "x": "wQ", "y": "wQ", "d": "wQ"}]}),
                "key 2: it has the private member d",
            ),
            (json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "wQ"}]}), "key 1: it has no y"),
            (json!({"keys": [{"kty": "AKP"}]}), "key 1: kty must be"),
            (json!({"keys": [rsa("1", "w+Q/")]}), "key 1: n is not in base64url"),
            (json!({"keys": [rsa("1", "wQ"), rsa("1", "wg")]}), "key 2: an earlier key"),
        ];
        for (value, expected) in cases {
            let said = KeySet::parse(&value.to_string()).expect_err("refused");
            assert!(said.contains(expected), "{value}: {said}");
        }
        assert!(KeySet::parse("nonsense").expect_err("refused").starts_with("it is no JSON"));
    }

    #[test]
    fn the_algorithm_is_known_where_all_keys_agree_on_one() {
        let curve = |crv: &str| json!({"kty": "EC", "crv": crv, "x": "wQ", "y": "wQ"});
        let named = |alg: &str| json!({"kty": "RSA", "alg": alg, "n": "wQ", "e": "AQAB"});
        let of = |keys: &[Value]| set(keys).algorithm().map(str::to_owned);
        assert_eq!(of(&[curve("P-256")]).as_deref(), Some("ES256"));
        assert_eq!(of(&[named("PS256"), named("PS256")]).as_deref(), Some("PS256"));
        assert_eq!(of(&[curve("P-256"), curve("P-384")]), None);
        assert_eq!(of(&[rsa("1", "wQ")]), None, "an RSA key serves for several");
    }

    #[test]
    fn a_server_without_keys_has_none() {
        for value in [Value::Null, json!({}), json!({"keys": []})] {
            assert!(KeySet::read(value).is_none());
        }
        assert_eq!(KeySet::read(json!({"keys": [rsa("1", "wQ")]})), Some(set(&[rsa("1", "wQ")])));
    }
}
