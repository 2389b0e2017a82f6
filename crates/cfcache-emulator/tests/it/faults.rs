//! The text form of faults.

use core::time::Duration;

use cfcache_emulator::{Fault, FaultAction, FaultScope};
use proptest::prelude::*;

#[test]
fn parses_and_formats_faults() {
    let second = Duration::from_secs(1);
    let edge = |code, status, retry_after: Option<&str>| FaultAction::Edge {
        code,
        status,
        retry_after: retry_after.map(ToOwned::to_owned),
    };
    let status = |status, code, retry_after: Option<&str>, body: Option<&str>| FaultAction::Status {
        status,
        code,
        retry_after: retry_after.map(str::to_owned),
        body: body.map(str::to_owned),
    };
    let rows = [
        ("status=503", Fault::new(FaultAction::status(503))),
        ("status=503,times=3", Fault::new(FaultAction::status(503)).with_times(3)),
        (" times=3 , status=503 ", Fault::new(FaultAction::status(503)).with_times(3)),
        ("status=429,retry-after=30", Fault::new(status(429, None, Some("30"), None))),
        (
            "status=429,retry-after=Sun, 06 Nov 1994 08:49:37 GMT,times=1",
            Fault::new(status(429, None, Some("Sun, 06 Nov 1994 08:49:37 GMT"), None)).with_times(1),
        ),
        ("status=400,code=1016", Fault::new(status(400, Some(1016), None, None))),
        ("status=500,at=1,body=a, b=c", Fault::new(status(500, None, None, Some("a, b=c"))).with_at([1])),
        ("delay=200ms", Fault::new(FaultAction::None).with_delay(second / 5)),
        ("delay=1.5s,status=500", Fault::new(FaultAction::status(500)).with_delay(second * 3 / 2)),
        ("reset-before", Fault::new(FaultAction::ResetBefore)),
        ("reset-after,every=5", Fault::new(FaultAction::ResetAfter).with_every(5)),
        ("reset-mid", Fault::new(FaultAction::ResetMid(None))),
        ("reset-mid=10", Fault::new(FaultAction::ResetMid(Some(10)))),
        ("truncate", Fault::new(FaultAction::Truncate(None))),
        ("truncate=0", Fault::new(FaultAction::Truncate(Some(0)))),
        (
            "malformed,at=1,3,5,on=all",
            Fault::new(FaultAction::Malformed).with_at([1, 3, 5]).with_scope(FaultScope::All),
        ),
        ("html", Fault::new(FaultAction::Html { status: 502 })),
        ("html,status=200", Fault::new(FaultAction::Html { status: 200 })),
        ("empty", Fault::new(FaultAction::Empty { status: None })),
        ("empty,status=204", Fault::new(FaultAction::Empty { status: Some(204) })),
        ("success-false", Fault::new(FaultAction::SuccessFalse { code: None })),
        ("success-false,code=1134", Fault::new(FaultAction::SuccessFalse { code: Some(1134) })),
        ("goaway,after=10", Fault::new(FaultAction::GoAway).with_after(10)),
        ("slow=2", Fault::new(FaultAction::Slow(second * 2))),
        ("slow=2m", Fault::new(FaultAction::Slow(second * 120))),
        ("stall", Fault::new(FaultAction::Stall)),
        ("stall,processed=yes", Fault::new(FaultAction::Stall).with_processed(true)),
        ("edge=1020", Fault::new(edge(1020, None, None))),
        ("edge=1015,retry-after=7", Fault::new(edge(1015, None, Some("7")))),
        ("edge=526,status=526,times=2", Fault::new(edge(526, Some(526), None)).with_times(2)),
        ("malformed,processed=no", Fault::new(FaultAction::Malformed).with_processed(false)),
        ("status=503,probability=0.2,seed=7", Fault::new(FaultAction::status(503)).with_probability(0.2, 7)),
        (
            "stall,on=list_zones",
            Fault::new(FaultAction::Stall).with_scope(FaultScope::Endpoint("list_zones".into())),
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse().as_ref(), Ok(&expected), "{text}");
        // The text in the log can be used with `--fault` again.
        assert_eq!(expected.to_string().parse().as_ref(), Ok(&expected), "{text} as {expected}");
    }
}

#[test]
fn refuses_invalid_faults() {
    let rows = [
        ("", "a fault is empty"),
        ("  ", "a fault is empty"),
        ("times=3", "the action is missing"),
        ("status", "`status` needs a value"),
        ("status=abc", "`status=abc`"),
        ("status=99", "from 200 to 599"),
        ("status=100", "from 200 to 599"),
        ("status=600", "from 200 to 599"),
        ("status=500,status=501", "`status` is given twice"),
        ("reset", "`reset` is not known"),
        ("reset-before=1", "`reset-before` takes no value"),
        ("reset-before,stall", "are two faults"),
        ("reset-before,processed=yes", "`processed` is fixed"),
        ("stall,status=500", "`status` has no effect with `stall`"),
        ("stall,code=1", "`code` has no effect with `stall`"),
        ("delay=1s,retry-after=1", "`retry-after` has no effect with `delay`"),
        ("html,body=x", "`body` has no effect with `html`"),
        ("delay=soon", "a time must be like"),
        ("delay=-1s", "a time must be like"),
        ("delay=1h", "a time must be like"),
        ("slow", "`slow` needs a value"),
        ("stall,every=0", "must be at least 1"),
        ("stall,at=0", "must be at least 1"),
        ("stall,at=", "`at=`"),
        ("stall,times=0", "must be at least 1"),
        ("stall,probability=2", "from 0 to 1"),
        ("stall,probability=nan", "from 0 to 1"),
        ("stall,seed=1", "`seed` needs `probability`"),
        ("stall,every=2,at=1,3", "`every=2` selects none of the requests of `at`"),
        ("status=204,body=x", "`body` has no effect with `status=204`"),
        ("stall,on=nothing", "an endpoint: purge_zone_cache"),
        ("stall,processed=maybe", "`yes` or `no`"),
        ("stall,3", "`3` is not known"),
        ("edge", "`edge` needs a value"),
        ("edge=404", "1000 to 1999, or from 500 to 599"),
        ("edge=x", "`edge=x`"),
        ("edge=1015,code=1", "`code` has no effect with `edge`"),
    ];
    for (text, expected) in rows {
        let error = text.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn actions_decide_whether_a_request_takes_effect() {
    let rows = [
        ("status=503", false),
        ("success-false", false),
        ("html", false),
        ("edge=504", false),
        ("stall", false),
        ("reset-before", false),
        ("reset-after", true),
        ("reset-mid", true),
        ("truncate", true),
        ("malformed", true),
        ("empty", true),
        ("goaway", true),
        ("slow=1s", true),
        ("delay=1s", true),
        ("status=503,processed=yes", true),
        ("truncate,processed=no", false),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse::<Fault>().unwrap().takes_effect(), expected, "{text}");
    }
    // A value can express what a text cannot; it has no effect.
    assert!(!Fault::new(FaultAction::ResetBefore).with_processed(true).takes_effect());
    assert!(Fault::new(FaultAction::ResetAfter).with_processed(false).takes_effect());
}

proptest! {
    #[test]
    fn never_panics_on_any_text(text in "([a-z-]{1,12}(=[a-z0-9.,]{0,6})?,?){0,4}|.{0,40}") {
        if let Ok(fault) = text.parse::<Fault>() {
            let again = fault.to_string();
            prop_assert_eq!(again.parse::<Fault>(), Ok(fault), "{}", again);
        }
    }
}
