//! `umail-api operator`: the first operator, and the way back in.

use clap::Subcommand;
use umail_api_types::operators::{NewOperator, OperatorPatch, OperatorRole};

use crate::{
    app,
    authn::random,
    commands::{print, with_system},
    config::Config,
    context::Context,
    error::{Error, Result},
    model::revision::Precondition,
    store,
};

/// Look after operators
#[derive(Debug, Subcommand)]
pub(super) enum Operator {
    /// Add an operator; the password is printed once unless it is read
    Create {
        /// The name to sign in with
        name: String,
        /// `system_admin` or `super_domain_admin`
        #[arg(long, default_value = "system_admin")]
        role: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give an operator a new password; it is printed once unless it is read
    ResetPassword {
        /// The name that the operator signs in with
        name: String,
        /// Read the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

impl Operator {
    pub(super) async fn run(self, config: &Config) -> Result<()> {
        let (Self::Create { password_stdin, .. } | Self::ResetPassword { password_stdin, .. }) =
            &self;
        let password = if *password_stdin { read_password()? } else { random::secret("")? };
        let shown = (!password_stdin).then(|| format!("password: {password}"));
        let name = match &self {
            Self::Create { name, .. } | Self::ResetPassword { name, .. } => name.clone(),
        };
        with_system(config, async |cx| match self {
            Self::Create { name, role, .. } => create(cx, name, &role, password).await,
            Self::ResetPassword { name, .. } => reset_password(cx, &name, password).await,
        })
        .await?;
        print(
            &[Some(format!("operator: {name}")), shown]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }
}

async fn create(cx: &Context, name: String, role: &str, password: String) -> Result<()> {
    let role = OperatorRole::from_name(role);
    let role =
        role.ok_or_else(|| Error::invalid("--role", "must be system_admin or super_domain_admin"))?;
    app::operators::create(cx, NewOperator { name, role, password }).await.map(|_| ())
}

async fn reset_password(cx: &Context, name: &str, password: String) -> Result<()> {
    let found = store::operators::find_id(cx.pool(), name).await?;
    let id = found.ok_or_else(|| Error::not_found("operator", name))?;
    let patch = OperatorPatch { password: Some(password), ..OperatorPatch::default() };
    app::operators::update(cx, id, Precondition::Any, patch).await.map(|_| ())
}

/// One line, so that `echo` and a file with a newline at its end do.
fn read_password() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(Error::internal)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
