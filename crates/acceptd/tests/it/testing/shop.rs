//! The program that these tests test: an order that charges a card, makes an invoice and tells the customer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use acceptd::target::{Reply, Replying, Target, TargetDescription};
use acceptd::{Acceptd, Consumer, Context, Done, Emits, Event, Fail, Limit, Outcome, Progress, State, Steps};
use serde::{Deserialize, Serialize};

macro_rules! events {
    ($( $name:ident $kind:literal { $($field:ident: $type:ty),* } )*) => { $(
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub(super) struct $name {
            $( pub(super) $field: $type ),*
        }

        impl Event for $name {
            const TYPE: &'static str = $kind;
        }
    )* };
}

events! {
    OrderPlaced "order.placed" { order: u32 }
    CardCharged "card.charged" { order: u32 }
    CardDeclined "card.declined" { order: u32 }
    InvoiceReady "invoice.ready" { order: u32, url: String }
    Alarm "alarm.create" { title: String }
}

/// How often each step of an invoice was done.
#[derive(Clone, Default)]
pub(super) struct Printer(pub(super) Arc<[AtomicU32; 2]>);

impl Printer {
    pub(super) fn counts(&self) -> [u32; 2] {
        [0, 1].map(|index: usize| self.0[index].load(Ordering::SeqCst))
    }
}

async fn charge_card(order: OrderPlaced, mut out: Emits<(CardCharged, CardDeclined)>) -> Outcome {
    out.emit(CardCharged { order: order.order });
    Done::with(order.order)
}

pub(super) async fn make_invoice(
    charged: CardCharged,
    steps: Steps,
    progress: Progress,
    mut out: Emits<(InvoiceReady, Alarm)>,
    State(printer): State<Printer>,
) -> Outcome {
    let step = async |index: usize| {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, Fail>(printer.0[index].fetch_add(1, Ordering::SeqCst))
    };
    progress.set(1, 2, "rendering");
    steps.run("render", async || step(0).await).await?;
    progress.set(2, 2, "uploading");
    steps.run("upload", async || step(1).await).await?;
    let url = format!("/invoices/{}", charged.order);
    out.emit(Alarm { title: format!("Your invoice is at {url}") });
    out.emit(InvoiceReady { order: charged.order, url });
    Done::new()
}

async fn hangs(_: InvoiceReady, context: Context) -> Outcome {
    context.stopped().await;
    std::future::pending().await
}

/// An endpoint that no test may call.
struct Endpoint;

impl Target for Endpoint {
    fn deliver(&self, _: Context) -> Replying<'_> {
        Box::pin(async { Reply::Ended(Err(Fail::terminal("called", "a test called the network"))) })
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "http", address: "https://example.com/ship".to_owned() }
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// The program, as its `main` would start it, too.
pub(super) fn shop(printer: &Printer) -> impl Fn(Acceptd) -> Acceptd + use<> {
    let printer = printer.clone();
    move |app| {
        app.state(printer.clone())
            .limit(Limit::new("stripe"))
            .limit(Limit::new("press").concurrency(1))
            .consumer(Consumer::new("charge-card", charge_card).limit("stripe"))
            .consumer(Consumer::new("make-invoice", make_invoice).limit("press").retry(20))
            .consumer(Consumer::inbox("alarm", "alarm.create"))
    }
}

/// The same with a parcel service behind an endpoint.
pub(super) fn shipping_shop(app: Acceptd) -> Acceptd {
    shop(&Printer::default())(app).consumer(Consumer::to("ship", ["invoice.ready"], Arc::new(Endpoint)).retry(3))
}

/// The same with a handler that never comes back and holds a lock.
pub(super) fn hanging_shop(app: Acceptd) -> Acceptd {
    let consumer = Consumer::new("hangs", hangs).timeout("30d").lock("/order");
    shop(&Printer::default())(app).consumer(consumer)
}
