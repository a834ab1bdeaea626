//! Head of the OpenAPI document, and what all operations have in common.

use umail_api_types::problem::Problem;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
        OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
        schema::Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
        tag::TagBuilder,
    },
};

use crate::http::idempotency;

const SECURITY: &str = "bearer";
const TAGS: [(&str, &str); 21] = [
    ("sessions", "Signing in and staying signed in"),
    ("me", "The caller itself"),
    ("api_keys", "Secrets by which programs act on your behalf"),
    ("operators", "Staff accounts without mail"),
    ("settings", "Settings of the whole system"),
    ("plans", "What users get by default, and may not exceed"),
    ("domains", "Hosted mail domains"),
    ("domain_aliases", "Other names of domains"),
    ("departments", "The tree inside a domain"),
    ("users", "People's accounts with an address"),
    ("imports", "Many users at once: into the system, and out of it"),
    ("bulk_changes", "The same change of many users"),
    ("role_assignments", "Who administers which domain or department"),
    ("aliases", "Other addresses"),
    ("groups", "Distribution lists"),
    ("nodes", "Mail nodes: status, load, traffic, queue"),
    ("services", "Daemons on a node, and what they shall be"),
    ("join_tokens", "Admission of new nodes"),
    ("audit_events", "Who did what, from where, to what"),
    ("operations", "Tracked long work"),
    ("directory", "How far the nodes have followed"),
];

/// The document without any path.
pub(super) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("U-Mail")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Control plane for a fleet of Postfix and Dovecot servers. Sign in with `POST \
             /v1/sessions`, and send the access token as `Authorization: Bearer …`; or \
             make an API key (`POST /v1/api_keys`), and send its secret instead. The headers \
             `RateLimit` and `RateLimit-Policy` say how many requests are left to you.",
        ))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
        ))
        .build();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The access token of a session, or the secret of an API key (`umk_…`)"))
        .build();
    let tags =
        TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    let components = ComponentsBuilder::new()
        .security_scheme(SECURITY, SecurityScheme::Http(scheme))
        .schema(Problem::name(), Problem::schema())
        .schemas_from_iter({
            let mut schemas = Vec::new();
            Problem::schemas(&mut schemas);
            schemas
        })
        .build();
    OpenApiBuilder::new().info(info).tags(Some(tags)).components(Some(components)).build()
}

/// Adds to every operation what they have in common: security, refusals, the idempotency key.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let has_parameter = path.contains('{');
        for operation in operations(item) {
            complete_operation(operation, has_parameter);
        }
        if let Some(post) = &mut item.post
            && is_secured(post)
            && idempotency::is_kept(path)
        {
            post.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
        .into_iter()
        .flatten()
}

fn is_secured(operation: &Operation) -> bool {
    operation
        .security
        .as_ref()
        .is_some_and(|security| security.iter().any(|one| *one != SecurityRequirement::default()))
}

fn complete_operation(operation: &mut Operation, has_path_parameter: bool) {
    let bearer = || vec![SecurityRequirement::new(SECURITY, Vec::<String>::new())];
    operation.security.get_or_insert_with(bearer);
    let has_parameter = |place: ParameterIn| {
        operation.parameters.iter().flatten().any(|one| match one {
            RefOr::T(parameter) => parameter.parameter_in == place,
            RefOr::Ref(_) => false,
        })
    };
    let mut refusals = vec![("default", "The server failed, or is busy")];
    if has_parameter(ParameterIn::Header) {
        refusals.push(("412", "It has changed since you read it"));
        refusals.push(("428", "An If-Match header is needed"));
    }
    if has_parameter(ParameterIn::Query) || operation.request_body.is_some() {
        refusals.push(("422", "Fields or parameters break their rules"));
    }
    if operation.request_body.is_some() {
        refusals.push(("400", "The body is not JSON"));
        refusals.push(("409", "The state of things does not allow it"));
        refusals.push(("413", "The body is too large"));
        refusals.push(("415", "The media type of the body is not JSON"));
    }
    if has_path_parameter {
        refusals.push(("404", "There is no such thing in your scope"));
    }
    refusals.push(("401", "Nobody is signed in"));
    if is_secured(operation) {
        refusals.push(("429", "Too many requests; Retry-After says when to go on"));
        refusals.push(("403", "Your role does not allow it"));
    }
    for (status, text) in refusals {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(refusal(text)));
    }
}

fn refusal(text: &str) -> utoipa::openapi::Response {
    let problem = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(problem)).build();
    ResponseBuilder::new().description(text).content("application/problem+json", content).build()
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,255}$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes a repeated request safe: the same key and request get the answer of the first, \
             for a day",
        ))
        .schema(Some(text))
        .build()
}
