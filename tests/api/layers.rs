//! Who may use whom inside the server, as the architecture says.

use std::{fs, path::Path};

/// What no file of a directory may name.
const RULES: [(&str, &[&str]); 6] = [
    ("http", &["store::", "sqlx::"]),
    ("app", &["axum::", "tonic::", "crate::http", "crate::grpc", "sqlx::query"]),
    ("authz", &["axum::", "tonic::", "crate::http", "crate::app", "crate::store", "sqlx::"]),
    (
        "model",
        &["axum::", "tonic::", "crate::http", "crate::app", "crate::store", "sqlx::", "async fn"],
    ),
    ("store", &["axum::", "tonic::", "crate::http", "crate::app", "crate::context"]),
    ("grpc", &["sqlx::query", "axum::"]),
];
/// Exceptions, each with its reason.
const EXCEPT: [(&str, &str, &str); 3] = [
    ("http/probes.rs", "store::", "asks the database whether it answers, for nobody"),
    ("http/idempotency.rs", "store::", "stores an answer in the transaction of its request"),
    ("http/problem.rs", "sqlx::", "tells a database that is away from one that fails"),
];

#[test]
fn every_layer_uses_only_those_below() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../api/src");
    let mut broken = Vec::new();
    let mut files = 0;
    for (layer, forbidden) in RULES {
        for path in rust_files(&root.join(layer)) {
            files += 1;
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: Vec<_> =
                code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for word in forbidden {
                let excepted = EXCEPT.iter().any(|(file, what, _)| *file == name && what == word);
                if !excepted && code.iter().any(|line| line.contains(word)) {
                    broken.push(format!("{name} uses {word}"));
                }
            }
        }
    }
    assert!(files > 50, "only {files} files");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn api_and_agent_do_not_depend_on_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let api = fs::read_to_string(root.join("api/Cargo.toml")).unwrap();
    assert!(!api.contains("umail-agent"));
    let agent = fs::read_to_string(root.join("agent/Cargo.toml")).unwrap();
    for word in ["umail-api", "axum", "utoipa"] {
        assert!(!agent.contains(word), "the agent depends on {word}");
    }
}

fn rust_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|one| one == "rs") {
            files.push(path);
        }
    }
    files
}
