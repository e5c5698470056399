//! `GET /_consent/state`: this visitor's state as JSON. No identifier: page scripts get none from us.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::{
    consent::VisitorState,
    site::Ctx,
    wire::{self, Body},
};

pub(super) fn answer(ctx: &Ctx) -> Response<Body> {
    wire::answer(StatusCode::OK, wire::JSON, of(ctx, ctx.state.as_ref()).to_string())
}

/// The state as the contract spells it; `None` is a visitor who has not decided.
pub(super) fn of(ctx: &Ctx, state: Option<&VisitorState>) -> Value {
    let policy = ctx.policy();
    let granted = |id: &str, always| always || state.is_some_and(|state| state.purposes.contains(id));
    let grants: Map<String, Value> =
        policy.purposes().iter().map(|def| (def.id.clone(), granted(&def.id, def.always).into())).collect();
    json!({
        "decided": state.is_some(),
        "grants": grants,
        "vendors": state.map(|state| &state.vendors).cloned().unwrap_or_default(),
        "decided_at": state.map(|state| state.decided_at.to_string()),
        "expires_at": state.map(|state| state.expires_at.to_string()),
        "policy": policy.revision().to_string(),
        "regime": policy.regime().id,
        "gpc": ctx.gpc,
    })
}
