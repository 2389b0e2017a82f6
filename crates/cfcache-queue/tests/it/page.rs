//! The status page in a real browser.

use std::time::{Duration, SystemTime};

use cfcache_model::endpoint::Action;
use cfcache_queue::metrics::EndedRequest;
use cfcache_queue::{BudgetStatus, DeadRequest, KindStatus};

use crate::admin::TestAdmin;
use crate::browser::{Browser, is_skipped};
use crate::memory::Mode;

const EVIL: &str = "<img/src=x/onerror=document.title='owned'><script>document.title='owned'</script>";

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_updates_and_does_not_run_its_content() {
    if is_skipped() {
        return;
    }
    let admin = TestAdmin::start().await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", admin.address)).await;
    assert_eq!(browser.run("return document.querySelectorAll('#dead, #purges').length").await, 0);
    assert_eq!(browser.run("return document.querySelector('#ready').innerText").await, "Ready");

    // From here on, the page must notice changes by itself.
    {
        let mut status = admin.store.status.lock().unwrap();
        status.kinds.push(KindStatus {
            kind: "files".to_owned(),
            waiting: 1234,
            oldest: Duration::from_secs(90),
        });
        status.budgets.push(BudgetStatus {
            name: EVIL.to_owned(),
            tokens: 3.0,
            blocked_for: Duration::from_secs(9),
        });
        let [kind, key, zone, reason, last_error] = [(); 5].map(|()| EVIL.to_owned());
        status.dead.push(DeadRequest {
            id: 7,
            zone,
            environment: None,
            action: Action::Purge,
            kind,
            key,
            attempts: 3,
            reason,
            last_error,
        });
        status.dead_count = 1;
    }
    admin.metrics.purge(EndedRequest {
        at: SystemTime::UNIX_EPOCH,
        zone: EVIL.to_owned(),
        kind: "files",
        items: 30,
        outcome: "accepted",
        elapsed: Duration::from_millis(45),
    });
    for (script, parts) in [
        ("return document.querySelector('#queue').innerText", &["1\u{202f}234", "90 s"][..]),
        ("return document.querySelector('#budgets')?.innerText ?? ''", &[EVIL, "3.0", "9 s"]),
        ("return document.querySelector('#dead')?.innerText ?? ''", &[EVIL]),
        ("return document.querySelector('#purges')?.innerText ?? ''", &[EVIL, "45 ms"]),
    ] {
        browser.until(script, |text| parts.iter().all(|part| text.contains(part))).await;
    }
    assert_eq!(browser.run("return document.title").await, "cfcache-queue");
    assert_eq!(browser.run("return document.images.length + document.scripts.length").await, 1);

    // The content must fit the width of a phone and of 80 columns.
    for width in [320, 640, 1280] {
        browser.resize(width, 800).await;
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(browser.run(fits).await, true, "{width}");
    }

    admin.store.set_mode(Mode::Fails);
    browser
        .until("return document.querySelector('#store')?.innerText ?? ''", |text| text.contains("relation"))
        .await;
    drop(admin);
    let late =
        "return document.querySelector('#late').hidden ? '' : document.querySelector('#late').innerText";
    browser.until(late, |text| text.contains("No answer since")).await;
}
