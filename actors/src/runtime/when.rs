//! Waiting for a flag, as an actor.

use actix::{Actor, ActorFutureExt, AsyncContext, Context};
use tokio::sync::watch;

/// Does `then` as soon as the flag is true; never, if whoever holds it is gone. The actor goes on meanwhile.
pub fn when<A>(
    ctx: &mut Context<A>,
    mut flag: watch::Receiver<bool>,
    then: impl FnOnce(&mut A, &mut Context<A>) + 'static,
) where
    A: Actor<Context = Context<A>>,
{
    let wait = async move { flag.wait_for(|set| *set).await.is_ok() };
    ctx.spawn(actix::fut::wrap_future(wait).map(|set, actor, ctx| {
        if set {
            then(actor, ctx);
        }
    }));
}
