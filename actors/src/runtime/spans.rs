//! Spans of sampled requests, and the request that the current thread works for.
//!
//! A [`Context`] travels with the future of its request: [`Context::around`] sets it for the thread while that future is polled, so no
//! function takes it as a parameter. Services start a child span with [`child`]; a mailbox starts one per message ([`Ask`]); a commit
//! for several requests has a span of its own with links to theirs ([`linked`]). Log lines take the request's id and trace from
//! [`with_current`].
//!
//! Whether a request is sampled is decided once, at its beginning ([`server`]). Without a sampled request every other function here
//! reads one thread-local value and does nothing. Attributes never contain what a client sent as a secret, token, claim or query.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context as TaskContext, Poll};
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer,
};
use opentelemetry::{Context as Parent, KeyValue, Value};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SdkTracer, ShouldSample, Span as SdkSpan,
};

use crate::runtime::request_id::RequestId;

static TRACING: OnceLock<Tracing> = OnceLock::new();

thread_local! {
    static CURRENT: RefCell<Context> = const { RefCell::new(Context { request_id: None, span: None }) };
    /// The trace id of the root span that is started next.
    static NEXT_TRACE: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// How spans are made.
#[derive(Debug)]
pub struct Tracing {
    /// Makes spans. Its provider must record all of them, with the ids of [`Ids`]: sampling is decided before.
    pub tracer: SdkTracer,
    /// Decides which requests are sampled.
    pub sampler: Sampler,
}

/// Traces sampled requests from now on. Without effect after the first time.
pub fn enable(tracing: Tracing) {
    let _ = TRACING.set(tracing);
}

/// The ids of spans. A root span gets the trace id that the sampling decision was made for.
#[derive(Debug, Default)]
pub struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT_TRACE.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// The request that a future works for.
#[derive(Debug, Clone, Default)]
pub struct Context {
    request_id: Option<RequestId>,
    /// The span that spans of this request are children of, if the request is sampled.
    span: Option<Box<SpanContext>>,
}

impl Context {
    /// The context of a request, and of its span if it is sampled.
    pub fn new(request_id: RequestId, span: Option<&Span>) -> Self {
        Self {
            request_id: Some(request_id),
            span: span.and_then(Span::context).cloned().map(Box::new),
        }
    }

    /// The id of the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref().map(RequestId::as_str)
    }

    /// The span, if the request is sampled.
    pub fn span(&self) -> Option<&SpanContext> {
        self.span.as_deref()
    }

    /// Runs the future in this context.
    pub fn around<F: Future>(self, future: F) -> InContext<F> {
        InContext { future, context: self }
    }

    fn scope<T>(&mut self, work: impl FnOnce() -> T) -> T {
        /// Puts the context back, also when `work` panics.
        struct Swapped<'a>(&'a mut Context);
        impl Drop for Swapped<'_> {
            fn drop(&mut self) {
                swap(self.0);
            }
        }
        fn swap(context: &mut Context) {
            // At the end of a thread there is none any more.
            let _ = CURRENT.try_with(|current| mem::swap(&mut *current.borrow_mut(), context));
        }
        swap(self);
        let _swapped = Swapped(self);
        work()
    }
}

pin_project_lite::pin_project! {
    /// A future that runs in the context of a request.
    #[derive(Debug)]
    pub struct InContext<F> {
        #[pin]
        future: F,
        context: Context,
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.context.scope(|| this.future.poll(task))
    }
}

/// Reads the context of the request that this thread works for; it is empty for background work. `None` while the thread ends: what it
/// drops then may log.
pub fn with_current<T>(read: impl FnOnce(&Context) -> T) -> Option<T> {
    CURRENT.try_with(|current| read(&current.borrow())).ok()
}

/// A span, or nothing when the request is not sampled. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Span {
    fn start(tracing: &Tracing, builder: SpanBuilder, parent: Option<&SpanContext>) -> Self {
        let parent = parent.map_or_else(Parent::new, |parent| {
            Parent::new().with_remote_span_context(parent.clone())
        });
        Self(Some(Box::new(tracing.tracer.build_with_context(builder, &parent))))
    }

    /// Its context, if it is recorded.
    pub fn context(&self) -> Option<&SpanContext> {
        self.0.as_ref().map(|span| span.span_context())
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Sets an attribute whose value takes work to make.
    pub fn set_with<V: Into<Value>>(&mut self, name: &'static str, value: impl FnOnce() -> V) {
        if self.0.is_some() {
            self.set(name, value());
        }
    }

    /// Marks the span as failed, with the reason as `error.type`.
    pub fn fail(&mut self, reason: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", reason));
            span.set_status(Status::error(""));
        }
    }

    fn link(&mut self, to: &SpanContext) {
        if let Some(span) = &mut self.0 {
            span.add_link(to.clone(), Vec::new());
        }
    }
}

/// Whether any request can be sampled.
pub fn is_enabled() -> bool {
    TRACING.get().is_some()
}

/// The span of a request, if the request is sampled. `parent`: the caller's span, from the request's headers.
pub fn server(
    parent: Option<&SpanContext>,
    name: impl FnOnce() -> Cow<'static, str>,
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Option<Span> {
    let tracing = TRACING.get()?;
    let parent = parent.filter(|parent| parent.is_valid());
    let context = parent.map(|parent| Parent::new().with_remote_span_context(parent.clone()));
    let trace = parent.map_or_else(|| RandomIdGenerator::default().new_trace_id(), SpanContext::trace_id);
    let decided = tracing
        .sampler
        .should_sample(context.as_ref(), trace, "", &SpanKind::Server, &[], &[]);
    if decided.decision != SamplingDecision::RecordAndSample {
        return None;
    }
    NEXT_TRACE.set(Some(trace));
    let builder = SpanBuilder::from_name(name())
        .with_kind(SpanKind::Server)
        .with_attributes(attributes());
    let span = Span::start(tracing, builder, parent);
    NEXT_TRACE.set(None);
    Some(span)
}

/// A child of the current request's span, if that request is sampled.
pub fn child(name: &'static str) -> Span {
    with_current(|current| match (&current.span, TRACING.get()) {
        (Some(parent), Some(tracing)) => Span::start(tracing, SpanBuilder::from_name(name), Some(&**parent)),
        _ => Span::default(),
    })
    .unwrap_or_default()
}

/// A span of work for several requests, in a trace of its own, with links to the spans of the sampled requests. No span is started if
/// none of them is sampled.
pub fn linked<'a>(name: &'static str, asks: impl Iterator<Item = &'a Ask>) -> Span {
    let Some(tracing) = TRACING.get() else {
        return Span::default();
    };
    let links: Vec<Link> = asks
        .filter_map(|ask| Some(Link::with_context(ask.context()?.clone())))
        .collect();
    if links.is_empty() {
        return Span::default();
    }
    let builder = SpanBuilder::from_name(name)
        .with_kind(SpanKind::Client)
        .with_links(links);
    Span::start(tracing, builder, None)
}

/// The span of a message to an actor, from its ask to its reply; nothing if its request is not sampled.
#[derive(Debug, Default)]
pub struct Ask(Option<Box<Asked>>);

#[derive(Debug)]
struct Asked {
    span: Span,
    enqueued: SystemTime,
    actor: &'static str,
    request_id: Option<RequestId>,
}

impl Ask {
    /// Starts the span of a message that is queued now.
    pub(super) fn start(name: &'static str, actor: &'static str) -> Self {
        let current = with_current(|current| (current.request_id, current.span.is_some()));
        let (request_id, is_sampled) = current.unwrap_or_default();
        if !is_sampled {
            return Self::default();
        }
        let mut span = child(name);
        span.set("oauth2.actor", actor);
        Self(Some(Box::new(Asked {
            span,
            enqueued: SystemTime::now(),
            actor,
            request_id,
        })))
    }

    fn context(&self) -> Option<&SpanContext> {
        self.0.as_ref()?.span.context()
    }

    /// Records the time in the mailbox, which ends now.
    pub(super) fn dequeued(&self) {
        let (Some(asked), Some(tracing)) = (&self.0, TRACING.get()) else {
            return;
        };
        let builder = SpanBuilder::from_name("wait in mailbox").with_start_time(asked.enqueued);
        let mut wait = Span::start(tracing, builder, asked.span.context());
        wait.set("oauth2.actor", asked.actor);
    }

    /// Handles the message in the context of its request.
    pub(super) fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(asked) => {
                let mut context = Context {
                    request_id: asked.request_id,
                    span: asked.span.context().cloned().map(Box::new),
                };
                context.scope(work)
            }
            None => work(),
        }
    }

    /// Links the span to that of the work that was done for several requests.
    pub(crate) fn link(&mut self, work: &Span) {
        if let (Some(asked), Some(work)) = (&mut self.0, work.context()) {
            asked.span.link(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use futures_util::FutureExt;

    use super::*;

    fn context(id: &str) -> Context {
        Context::new(RequestId::new(id.as_bytes()).unwrap(), None)
    }

    fn current() -> Option<String> {
        with_current(|current| current.request_id().map(str::to_owned)).flatten()
    }

    #[tokio::test]
    async fn a_context_belongs_to_its_future_only() {
        let one = context("one").around(async {
            assert_eq!(current().as_deref(), Some("one"));
            tokio::task::yield_now().await;
            let nested = context("nested").around(async { current() }).await;
            assert_eq!((nested.as_deref(), current().as_deref()), (Some("nested"), Some("one")));
        });
        let two = context("two").around(async {
            tokio::task::yield_now().await;
            assert_eq!(current().as_deref(), Some("two"));
        });
        tokio::join!(one, two, async { assert_eq!(current(), None) });
        assert_eq!(current(), None);
    }

    #[test]
    fn a_panic_leaves_no_context_behind() {
        let panics = context("one").around(async { panic!("on purpose") });
        let caught = catch_unwind(AssertUnwindSafe(|| panics.now_or_never()));
        assert!(caught.is_err() && current().is_none());
    }

    #[test]
    fn nothing_is_traced_unless_it_is_enabled() {
        let sampled = SpanContext::new(
            TraceId::from(1),
            SpanId::from(1),
            opentelemetry::TraceFlags::SAMPLED,
            true,
            opentelemetry::trace::TraceState::NONE,
        );
        assert!(!is_enabled());
        assert!(server(Some(&sampled), || "never".into(), Vec::new).is_none());
        assert!(child("never").context().is_none());
        assert!(
            linked("never", std::iter::once(&Ask::start("never", "nobody")))
                .context()
                .is_none()
        );
    }
}
