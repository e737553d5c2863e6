//! `POST /oauth/introspect` (RFC 7662).

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use oauth2_store::model::Endpoint;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::admission::Admission;
use crate::http::deadline;
use crate::http::error::Failure;
use crate::http::error_responses::ClientErrors;
use crate::http::extract::form_body;
use crate::http::response::{append_limit_status, no_store};
use crate::protocol::form::Form;
use crate::service::fallback::HOP_HEADER;
use crate::service::introspect::{Asker, Introspect, Introspection};
use crate::service::schema;
use crate::tokens::claims::Claims;
use crate::tokens::foreign::ForeignClaims;
use crate::tokens::json::Object;

/// The form of an introspection (RFC 7662 section 2.1) and of a revocation (RFC 7009 section 2.1).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form, which handlers read without copying it")]
pub struct PresentedToken {
    /// A token of any format.
    #[schema(min_length = 1)]
    token: String,
    /// Ignored: a token shows its own type.
    #[schema(required = false)]
    token_type_hint: String,
    /// With `client_secret`, in place of the `Authorization` header.
    #[schema(required = false)]
    client_id: String,
    /// See `client_id`.
    #[schema(required = false, format = Password)]
    client_secret: String,
}

/// An introspection response (RFC 7662 section 2.2).
pub enum IntrospectionResponse<'a> {
    /// The token is active.
    Active(ActiveToken<'a>),
    /// The token is active, and of the issuer that this server replaces.
    Foreign(ForeignActiveToken<'a>),
    /// The token is inactive, or the caller may not introspect it.
    Inactive(InactiveToken),
    /// In a batch: the state of the token is not known.
    Unanswered(UnansweredToken),
}

impl PartialSchema for IntrospectionResponse<'_> {
    fn schema() -> RefOr<Schema> {
        let description = "An introspection response (RFC 7662 section 2.2). For a token that is inactive, or that the caller may not \
            introspect, `active` is the only member. In a batch, a token whose state is not known has `error` in place of `active`.";
        let any_of = AnyOfBuilder::new().description(Some(description));
        let names = [
            ActiveToken::name(),
            ForeignActiveToken::name(),
            InactiveToken::name(),
            UnansweredToken::name(),
        ];
        let any_of = names
            .iter()
            .fold(any_of, |any_of, name| any_of.item(Ref::from_schema_name(name.as_ref())));
        RefOr::T(Schema::AnyOf(any_of.build()))
    }
}

// An own token is also described by the schema of the other issuer's, which has fewer members: so this is not derived, as one of them.
impl ToSchema for IntrospectionResponse<'_> {
    fn name() -> Cow<'static, str> {
        "Introspection".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ActiveToken::name().into(), ActiveToken::schema()));
        schemas.push((ForeignActiveToken::name().into(), ForeignActiveToken::schema()));
        schemas.push((InactiveToken::name().into(), InactiveToken::schema()));
        schemas.push((UnansweredToken::name().into(), UnansweredToken::schema()));
        ActiveToken::schemas(schemas);
    }
}

/// An active token.
#[derive(ToSchema)]
pub struct ActiveToken<'a> {
    #[schema(schema_with = schema::constant::<true>)]
    active: bool,
    /// The client it was issued to.
    client_id: &'a str,
    /// Issuer.
    iss: &'a str,
    /// Subject: the client itself.
    sub: &'a str,
    /// Audience.
    aud: &'a str,
    /// Token id.
    jti: Uuid,
    /// When it was issued, Unix seconds.
    iat: i64,
    /// From when it is valid: as `iat`.
    nbf: i64,
    /// When it expires.
    exp: i64,
    /// Granted scopes, space-separated.
    scope: &'a str,
    /// Always `Bearer` (RFC 6750).
    #[schema(value_type = schema::Bearer)]
    token_type: &'static str,
    /// Private claims of the client's tokens: JSON members.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    claims: Option<&'a str>,
}

/// An active token of the issuer that this server replaces. Only these members of it are known.
#[derive(ToSchema)]
#[schema(as = ForeignToken)]
pub struct ForeignActiveToken<'a> {
    #[schema(schema_with = schema::constant::<true>)]
    active: bool,
    /// The client it was issued to.
    client_id: &'a str,
    /// Its issuer.
    #[schema(required = false)]
    iss: Option<&'a str>,
    /// Subject.
    #[schema(required = false)]
    sub: Option<&'a str>,
    /// Audience: a string, or several as an array.
    #[schema(schema_with = schema::string_or_strings, required = false)]
    aud: &'a [Arc<str>],
    /// Token id.
    #[schema(required = false)]
    jti: Option<&'a str>,
    /// When it was issued, Unix seconds.
    #[schema(required = false)]
    iat: Option<i64>,
    /// From when it is valid, Unix seconds.
    #[schema(required = false)]
    nbf: Option<i64>,
    /// When it expires.
    exp: i64,
    /// Granted scopes, space-separated.
    #[schema(required = false)]
    scope: Option<&'a str>,
    /// Always `Bearer` (RFC 6750).
    #[schema(value_type = schema::Bearer)]
    token_type: &'static str,
}

/// Nothing else is disclosed.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InactiveToken {
    #[schema(schema_with = schema::constant::<false>)]
    active: bool,
}

/// Whether the token is active is not known: the issuer that this server replaces does not answer. Only in a batch, whose other tokens are
/// not affected; the token may be introspected again later.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnansweredToken {
    #[schema(pattern = "^temporarily_unavailable$")]
    error: &'static str,
}

/// Introspects a token.
///
/// A client may introspect its own tokens, and those for its `introspection_audiences`.
#[utoipa::path(
    post, path = "/oauth/introspect", operation_id = "introspectToken", tag = "OAuth 2.0",
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token's state.", body = IntrospectionResponse), ClientErrors),
    security(("client_secret_basic" = []), ()),
)]
pub async fn post(
    admission: Data<Admission>,
    introspect: Data<Introspect>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Failure> {
    let body = form_body(request.headers(), payload).await?;
    let deadline = deadline();
    let form = Form::parse(&body)?;
    let admitted = admission.form(&request, &form, Endpoint::Introspection).await?;
    let token = form.required("token", "token is missing")?;
    let asker = asker(&request);
    let introspection = introspect.one(&admitted.client, token, asker, deadline).await?;
    let mut text = Vec::with_capacity(512);
    IntrospectionResponse::new(&introspection).write(&mut text);
    let mut response = no_store(text);
    append_limit_status(&admitted.limits, response.headers_mut());
    Ok(response)
}

/// The caller.
pub fn asker(request: &HttpRequest) -> Asker {
    if request.headers().contains_key(HOP_HEADER) {
        Asker::Fallback
    } else {
        Asker::Client
    }
}

impl<'a> IntrospectionResponse<'a> {
    /// What the caller may know.
    pub fn new(introspection: &'a Introspection) -> Self {
        match introspection {
            Introspection::Inactive => Self::Inactive(InactiveToken { active: false }),
            Introspection::Active(token) => Self::Active(ActiveToken::new(token.claims())),
            Introspection::Foreign(claims) => Self::Foreign(ForeignActiveToken::new(claims)),
            Introspection::Unanswered => Self::Unanswered(UnansweredToken {
                error: "temporarily_unavailable",
            }),
        }
    }

    /// Appends the JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Active(token) => token.write(out),
            Self::Foreign(token) => token.write(out),
            Self::Unanswered(UnansweredToken { error }) => Object::begin(out).text("error", error).end(),
            Self::Inactive(InactiveToken { active }) => {
                debug_assert!(!active);
                out.extend_from_slice(br#"{"active":false}"#);
            }
        }
    }
}

impl<'a> ActiveToken<'a> {
    fn new(claims: &'a Claims) -> Self {
        Self {
            active: true,
            client_id: &claims.client_id,
            iss: &claims.iss,
            sub: &claims.sub,
            aud: &claims.aud,
            jti: claims.jti,
            iat: claims.iat,
            nbf: claims.iat,
            exp: claims.exp,
            scope: &claims.scope,
            token_type: "Bearer",
            claims: claims.extra.as_deref(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        Object::begin(out)
            .boolean("active", self.active)
            .text("client_id", self.client_id)
            .text("iss", self.iss)
            .text("sub", self.sub)
            .text("aud", self.aud)
            .text("jti", self.jti.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            .number("iat", self.iat)
            .number("nbf", self.nbf)
            .number("exp", self.exp)
            .text("scope", self.scope)
            .text("token_type", self.token_type)
            .members(self.claims)
            .end();
    }
}

impl<'a> ForeignActiveToken<'a> {
    fn new(claims: &'a ForeignClaims) -> Self {
        Self {
            active: true,
            client_id: &claims.client_id,
            iss: claims.iss.as_deref(),
            sub: claims.sub.as_deref(),
            aud: &claims.aud,
            jti: claims.jti.as_deref(),
            iat: claims.iat,
            nbf: claims.nbf,
            exp: claims.exp,
            scope: claims.scope.as_deref(),
            token_type: "Bearer",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out)
            .boolean("active", self.active)
            .text("client_id", self.client_id);
        let texts = [
            ("iss", self.iss),
            ("sub", self.sub),
            ("jti", self.jti),
            ("scope", self.scope),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                object = object.text(name, value);
            }
        }
        for (name, value) in [("iat", self.iat), ("nbf", self.nbf)] {
            if let Some(value) = value {
                object = object.number(name, value);
            }
        }
        object = match self.aud {
            [] => object,
            [aud] => object.text("aud", aud),
            several => object.texts("aud", several.iter().map(|aud| &**aud)),
        };
        object.number("exp", self.exp).text("token_type", self.token_type).end();
    }
}
