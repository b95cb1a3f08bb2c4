//! Operator, accounts and users of JWT, made here: tokens, each signed by the one before.
//!
//! Source: ADR-14 of nats-architecture-and-design.

use data_encoding::BASE64URL_NOPAD as BASE64;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator and an account of it that may everything.
pub(crate) struct Identity {
    operator: KeyPair,
    account: KeyPair,
}

fn token(signer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let claims = json!({
        "jti": "test", "iat": 1_700_000_000, "name": "test",
        "iss": signer.public_key(), "sub": subject.public_key(), "nats": claims,
    });
    let header = BASE64.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let text = format!("{header}.{}", BASE64.encode(claims.to_string().as_bytes()));
    let signature = BASE64.encode(&signer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self { operator: KeyPair::new_operator(), account: KeyPair::new_account() }
    }

    pub(crate) fn account(&self) -> String {
        self.account.public_key()
    }

    /// What a server has to know.
    pub(crate) fn config(&self) -> String {
        let unlimited = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1});
        let account = json!({"type": "account", "version": 2, "limits": unlimited});
        let operator = json!({"type": "operator", "version": 2});
        format!(
            "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {} }}\n",
            token(&self.operator, &self.operator, &operator),
            self.account(),
            token(&self.operator, &self.account, &account),
        )
    }

    /// A new user's .creds file, and the seed in it.
    pub(crate) fn creds(&self) -> (String, String) {
        let user = KeyPair::new_user();
        let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let (jwt, seed) = (token(&self.account, &user, &claims), user.seed().unwrap());
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        (text, seed)
    }
}
