"""Drives every cache endpoint of the vendor's SDK against emulators, and records its requests.

`cargo xtask conformance` starts this, with a file for the requests, the base URLs of four emulators, the address of the
first one's edge, and the port that this script has to serve as the origin of that edge:

- enterprise: has every setting; clearing takes a second
- free: has few settings, and the smallest limits
- guarded: knows one token, which is not the one used here
- faulty: refuses the first two purges with 503

Each case is a function below, and passes if nothing in it is raised. The SDK checks each answer against its types
(`_strict_response_validation`), and repeats nothing except where that is what the case is about.

Each kind of request becomes a line of JSON, with the name and arguments that `cfcache-model` has for the same operation,
so that a test of it can compare the two. Requests that the model refuses to write have no operation, and are left out.
"""

import json
import sys
import threading
import time
from datetime import datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cloudflare
import httpx
from cloudflare import Cloudflare, DefaultHttpxClient

ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
ACCOUNT = "01a7362d577a6c3019a474fd6f485823"
STAGING = "4e9f1d2a7b8c3f60a5d4e3c2b1a09f"
DEVELOPMENT = "8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"
TOKEN = "0123456789abcdefghijklmnopqrstuvwxyzABCD"
"""Not a secret: the emulators accept any token of a valid form, except the one with a configured token."""

BASE_PATH = "/client/v4"

CASES = []


def case(function):
    """Registers a case."""
    CASES.append(function)
    return function


class Desk:
    """The SDK for each of the emulators, and the record of its requests."""

    def __init__(self, record, urls):
        self.record = record
        self.written = set()
        self.operation, self.arguments = None, {}
        self.edge, self.origin_port = urls.pop("edge"), int(urls.pop("origin-port"))
        http_client = DefaultHttpxClient(event_hooks={"response": [self.write]})
        for name, url in urls.items():
            client = Cloudflare(
                api_token=TOKEN,
                base_url=url,
                max_retries=0,
                http_client=http_client,
                _strict_response_validation=True,
            )
            setattr(self, name, client)

    def write(self, response):
        """Records a request after its answer, unless the same one was recorded."""
        if self.operation is None:
            return
        request = response.request
        path = request.url.raw_path.decode("ascii")
        line = {
            "operation": self.operation,
            "arguments": self.arguments,
            "method": request.method,
            "path": path.removeprefix(BASE_PATH),
            "body": request.content.decode("utf-8") if request.content else None,
            "is_success": response.is_success,
        }
        text = json.dumps(line)
        if text not in self.written:
            self.written.add(text)
            self.record.write(text + "\n")

    def call(self, operation, arguments, function, *positional, **named):
        """Calls the SDK's function for an operation of the model, with these arguments."""
        self.operation, self.arguments = operation, arguments
        try:
            return function(*positional, **named)
        finally:
            self.operation, self.arguments = None, {}

    def refused(self, kind, code, operation, arguments, function, *positional, **named):
        """Calls the SDK for a request that must be refused with this class of error and this code."""
        try:
            result = self.call(operation, arguments, function, *positional, **named)
        except cloudflare.APIStatusError as error:
            assert type(error) is kind, f"{type(error).__name__} in place of {kind.__name__}: {error}"
            codes = [item.code for item in error.errors]
            assert codes == [code], f"{codes} in place of {code}: {error}"
            return error
        raise AssertionError(f"this was not refused: {result!r}")


def equal(found, expected):
    """Compares two values, and reports differences."""
    assert found == expected, f"{found!r} in place of {expected!r}"


def purges(desk, action, scope, environment=None):
    """Every kind of purge body, and invalid ones."""
    cache = desk.enterprise.cache
    suffix = "_environment" if environment else ""
    function = getattr(cache, f"{action}{suffix}")
    place = {"zone_id": ZONE} | ({"environment_id": environment} if environment else {})
    operation = f"{action}_{scope}_cache"
    named = {"environment": environment} if environment else {}
    bodies = [
        {"tags": ["a-cache-tag", "another-cache-tag"]},
        {"hosts": ["www.example.com", "images.example.com"]},
        {"prefixes": ["www.example.com/foo", "images.example.com/bar/baz"]},
        {"files": ["https://www.example.com/css/styles.css", "https://example.com/ä?q=a&b=<c>"]},
        {
            "files": [
                {
                    "url": "https://www.example.com/cat_picture.jpg",
                    "headers": {"CF-IPCountry": "US", "CF-Device-Type": "desktop"},
                },
                {"url": "https://www.example.com/dog_picture.jpg", "headers": {"Accept-Language": "zh-CN"}},
            ]
        },
        {"purge_everything": True},
    ]
    for body in bodies:
        written = json.dumps(body, ensure_ascii=False)
        answer = desk.call(operation, named | {"body": written}, function, **place, **body)
        equal(answer.id, ZONE)
    both = {"purge_everything": True, "tags": ["a-cache-tag"]}
    desk.refused(cloudflare.BadRequestError, 1092, None, {}, function, **place, **both)
    desk.refused(cloudflare.BadRequestError, 1012, None, {}, function, **place)
    many = {"tags": [f"tag-{number}" for number in range(101)]}
    arguments = named | {"body": json.dumps(many)}
    desk.refused(cloudflare.BadRequestError, 1101, operation, arguments, function, **place, **many)


@case
def purge_a_zone(desk):
    purges(desk, "purge", "zone")


@case
def purge_an_environment(desk):
    purges(desk, "purge", "environment", STAGING)


@case
def invalidate_a_zone(desk):
    purges(desk, "invalidate", "zone")


@case
def invalidate_an_environment(desk):
    purges(desk, "invalidate", "environment", STAGING)


@case
def files_of_an_environment_that_is_chosen_by_ip(desk):
    body = {"files": ["https://www.example.com/"]}
    for action in ["purge", "invalidate"]:
        function = getattr(desk.enterprise.cache, f"{action}_environment")
        arguments = {"environment": DEVELOPMENT, "body": json.dumps(body)}
        operation = f"{action}_environment_cache"
        place = {"zone_id": ZONE, "environment_id": DEVELOPMENT}
        desk.refused(cloudflare.BadRequestError, 1136, operation, arguments, function, **place, **body)


@case
def more_purges_than_the_plan_allows(desk):
    arguments = {"body": '{"tags":["a"]}'}
    function = desk.free.cache.purge
    for _ in range(25):
        desk.call("purge_zone_cache", arguments, function, zone_id=ZONE, tags=["a"])
    error = desk.refused(
        cloudflare.RateLimitError, 1134, "purge_zone_cache", arguments, function, zone_id=ZONE, tags=["a"]
    )
    wait = int(error.response.headers["retry-after"])
    assert 0 < wait <= 12, wait


@case
def the_sdk_repeats_what_failed(desk):
    arguments = {"body": '{"hosts":["www.example.com"]}'}
    function = desk.faulty.with_options(max_retries=2).cache.purge
    answer = desk.call("purge_zone_cache", arguments, function, zone_id=ZONE, hosts=["www.example.com"])
    equal(answer.id, ZONE)


SWITCHES = {
    # The model's name, with the id and the smallest plan that has it.
    "cache_reserve": ("cache_reserve", "pro"),
    "regional_tiered_cache": ("tc_regional", "enterprise"),
    "smart_tiered_cache": ("tiered_cache_smart_topology_enable", "free"),
    "tiered_caching": ("tiered_caching", "free"),
    "development_mode": ("development_mode", "free"),
    "always_online": ("always_online", "free"),
    "sort_query_string": ("sort_query_string_for_cache", "free"),
}


def switch(client, name):
    """The SDK's functions that read and set a switch."""
    if name == "tiered_caching":
        resource = client.argo.tiered_caching
    elif name in ["development_mode", "always_online", "sort_query_string"]:
        settings, path = client.zones.settings, SWITCHES[name][0]
        return partial(settings.get, path), partial(settings.edit, path)
    else:
        resource = getattr(client.cache, name)
    return resource.get, resource.edit


def switched(name):
    """Reads and sets a switch: with and without the plan, and for a zone of another account."""
    wire_id, plan = SWITCHES[name]

    def run(desk):
        get, edit = switch(desk.enterprise, name)
        for value in ["on", "off"]:
            setting = desk.call(f"edit_{name}", {"value": value}, edit, zone_id=ZONE, value=value)
            equal((setting.id, setting.value, setting.editable), (wire_id, value, True))
            assert setting.modified_on.utcoffset() == timedelta(0), setting
            setting = desk.call(f"get_{name}", {}, get, zone_id=ZONE)
            equal((setting.id, setting.value, setting.editable), (wire_id, value, True))
        get, edit = switch(desk.free, name)
        if plan != "free":
            kind = cloudflare.PermissionDeniedError
            desk.refused(kind, 1135, f"get_{name}", {}, get, zone_id=ZONE)
            desk.refused(kind, 1135, f"edit_{name}", {"value": "on"}, edit, zone_id=ZONE, value="on")
        get, edit = switch(desk.guarded, name)
        kind = cloudflare.AuthenticationError
        desk.refused(kind, 10000, f"get_{name}", {}, get, zone_id=ZONE)
        desk.refused(kind, 10000, f"edit_{name}", {"value": "off"}, edit, zone_id=ZONE, value="off")
        _, edit = switch(desk.enterprise, name)
        desk.refused(cloudflare.BadRequestError, 1146, None, {}, edit, zone_id=ZONE, value="maybe")

    run.__name__ = f"read_and_set_{name}"
    return run


for switch_name in SWITCHES:
    case(switched(switch_name))


@case
def smart_tiered_cache_that_was_never_set(desk):
    smart = desk.free.cache.smart_tiered_cache
    missing = cloudflare.NotFoundError
    desk.refused(missing, 1142, "get_smart_tiered_cache", {}, smart.get, zone_id=ZONE)
    desk.refused(missing, 1142, "delete_smart_tiered_cache", {}, smart.delete, zone_id=ZONE)
    created = desk.call("create_smart_tiered_cache", {"value": "on"}, smart.create, zone_id=ZONE, value="on")
    equal(created.value, "on")
    created = desk.call("create_smart_tiered_cache", {"value": "off"}, smart.create, zone_id=ZONE, value="off")
    equal(created.value, "off")
    equal(desk.call("get_smart_tiered_cache", {}, smart.get, zone_id=ZONE).value, "off")
    deleted = desk.call("delete_smart_tiered_cache", {}, smart.delete, zone_id=ZONE)
    equal((deleted.id, deleted.editable), ("tiered_cache_smart_topology_enable", True))
    assert not hasattr(deleted, "value"), deleted
    desk.refused(missing, 1142, "get_smart_tiered_cache", {}, smart.get, zone_id=ZONE)
    denied, create = cloudflare.AuthenticationError, desk.guarded.cache.smart_tiered_cache.create
    desk.refused(denied, 10000, "create_smart_tiered_cache", {"value": "on"}, create, zone_id=ZONE, value="on")


@case
def development_mode_counts_down(desk):
    get, edit = switch(desk.enterprise, "development_mode")
    setting = desk.call("edit_development_mode", {"value": "on"}, edit, zone_id=ZONE, value="on")
    assert 10_790 < setting.time_remaining <= 10_800, setting
    zone = desk.call("get_zone", {}, desk.enterprise.zones.get, zone_id=ZONE)
    assert 10_790 < zone.development_mode <= 10_800, zone
    desk.call("edit_development_mode", {"value": "off"}, edit, zone_id=ZONE, value="off")
    setting = desk.call("get_development_mode", {}, get, zone_id=ZONE)
    assert -10 < setting.time_remaining <= 0, setting


@case
def settings_with_values_of_their_own(desk):
    for name, good, bad in [
        ("cache_level", ["basic", "simplified", "aggressive"], "on"),
        ("browser_cache_ttl", [0, 86400], -1),
    ]:
        settings = desk.enterprise.zones.settings
        get, edit = partial(settings.get, name), partial(settings.edit, name)
        for value in good:
            setting = desk.call(f"edit_{name}", {"value": value}, edit, zone_id=ZONE, value=value)
            equal((setting.id, setting.value, setting.editable), (name, value, True))
            equal(desk.call(f"get_{name}", {}, get, zone_id=ZONE).value, value)
        desk.refused(cloudflare.BadRequestError, 1146, None, {}, edit, zone_id=ZONE, value=bad)
        denied, settings = cloudflare.AuthenticationError, desk.guarded.zones.settings
        desk.refused(denied, 10000, f"get_{name}", {}, settings.get, name, zone_id=ZONE)
        value = good[0]
        desk.refused(
            denied, 10000, f"edit_{name}", {"value": value}, settings.edit, name, zone_id=ZONE, value=value
        )


@case
def clearing_cache_reserve(desk):
    reserve = desk.enterprise.cache.cache_reserve
    status, clear = ("get_cache_reserve_clear", {}), ("clear_cache_reserve", {})
    turn_on, turn_off = [
        ("edit_cache_reserve", {"value": value}, partial(reserve.edit, zone_id=ZONE, value=value))
        for value in ["on", "off"]
    ]
    desk.refused(cloudflare.NotFoundError, 1142, *status, reserve.status, zone_id=ZONE)
    desk.call(*turn_on)
    desk.refused(cloudflare.BadRequestError, 1152, *clear, reserve.clear, zone_id=ZONE)
    desk.call(*turn_off)
    begun = desk.call(*clear, reserve.clear, zone_id=ZONE)
    equal((begun.id, begun.state, begun.end_ts), ("cache_reserve_clear", "In-progress", None))
    desk.refused(cloudflare.BadRequestError, 1153, *turn_on)
    deadline = time.monotonic() + 10
    while (done := desk.call(*status, reserve.status, zone_id=ZONE)).state == "In-progress":
        assert time.monotonic() < deadline, "the clear does not end"
        time.sleep(0.1)
    equal((done.state, done.start_ts), ("Completed", begun.start_ts))
    equal(done.end_ts - done.start_ts, timedelta(seconds=1))
    desk.call(*turn_on)
    denied, reserve = cloudflare.PermissionDeniedError, desk.free.cache.cache_reserve
    desk.refused(denied, 1135, *status, reserve.status, zone_id=ZONE)
    desk.refused(denied, 1135, *clear, reserve.clear, zone_id=ZONE)


@case
def variants(desk):
    variants = desk.enterprise.cache.variants
    get, delete = ("get_variants", {}), ("delete_variants", {})

    def edit(value):
        return "edit_variants", {"value": json.dumps(value)}

    missing = cloudflare.NotFoundError
    desk.refused(missing, 1142, *get, variants.get, zone_id=ZONE)
    desk.refused(missing, 1144, *delete, variants.delete, zone_id=ZONE)
    extensions = ["avif", "bmp", "gif", "jp2", "jpeg", "jpg", "jpg2", "png", "tif", "tiff", "webp"]
    every = {extension: ["image/webp", "image/jpeg"] for extension in extensions}
    set_to = desk.call(*edit(every), variants.edit, zone_id=ZONE, value=every)
    equal(set_to.value.to_dict(), every)
    one = {"png": ["image/webp"]}
    desk.call(*edit(one), variants.edit, zone_id=ZONE, value=one)
    read = desk.call(*get, variants.get, zone_id=ZONE)
    equal((read.id, read.editable, read.value.to_dict()), ("variants", True, one))
    wrong = {"png": ["image/webp", "image/webp"]}
    desk.refused(cloudflare.BadRequestError, 1146, None, {}, variants.edit, zone_id=ZONE, value=wrong)
    equal(desk.call(*delete, variants.delete, zone_id=ZONE).id, "variants")
    desk.refused(missing, 1142, *get, variants.get, zone_id=ZONE)
    denied, variants = cloudflare.PermissionDeniedError, desk.free.cache.variants
    desk.refused(denied, 1135, *get, variants.get, zone_id=ZONE)
    desk.refused(denied, 1135, *edit(one), variants.edit, zone_id=ZONE, value=one)
    desk.refused(denied, 1135, *delete, variants.delete, zone_id=ZONE)


@case
def one_cloud_region(desk):
    regions = desk.enterprise.cache.origin_cloud_regions
    missing, bad = cloudflare.NotFoundError, cloudflare.BadRequestError

    def put(ip, vendor, region, path_ip=None):
        arguments = {"origin_ip": ip, "vendor": vendor, "region": region}
        named = {"zone_id": ZONE, "body_origin_ip": ip, "vendor": vendor, "region": region}
        return "set_cloud_region", arguments, lambda: regions.update(path_ip or ip, **named)

    for ip, told in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1")]:
        one = {"origin_ip": ip}
        desk.refused(missing, 1142, "get_cloud_region", one, regions.get, ip, zone_id=ZONE)
        desk.refused(missing, 1142, "delete_cloud_region", one, regions.delete, ip, zone_id=ZONE)
        stored = desk.call(*put(ip, "aws", "us-east-1"))
        equal((stored.origin_ip, stored.vendor, stored.region), (told, "aws", "us-east-1"))
        stored = desk.call("get_cloud_region", one, regions.get, ip, zone_id=ZONE)
        equal(stored.origin_ip, told)
        assert isinstance(stored.modified_on, datetime), stored
        equal(desk.call("delete_cloud_region", one, regions.delete, ip, zone_id=ZONE).origin_ip, told)
    desk.refused(bad, 1157, *put("192.0.2.1", "aws", "nowhere-1"))
    # Requests that the model never writes: an address in another form, two addresses, and another vendor.
    _, _, function = put("2001:0DB8:0::1", "gcp", "europe-west1")
    equal(desk.call(None, {}, function).origin_ip, "2001:db8::1")
    desk.call("delete_cloud_region", {"origin_ip": "2001:db8::1"}, regions.delete, "2001:db8::1", zone_id=ZONE)
    error = desk.refused(bad, 1146, None, {}, put("192.0.2.1", "aws", "us-east-1", "192.0.2.2")[2])
    equal(error.errors[0].message, "body origin_ip does not match URL")
    desk.refused(bad, 1157, None, {}, put("192.0.2.1", "ibm", "us-east-1")[2])


@case
def many_cloud_regions(desk):
    regions = desk.enterprise.cache.origin_cloud_regions

    def mapping(ip, region="us-central1"):
        return {"origin_ip": ip, "region": region, "vendor": "gcp"}

    def set_all(items):
        update = partial(regions.bulk_update, zone_id=ZONE, body=items)
        return desk.call("set_cloud_regions", {"items": items}, update)

    some = [mapping("192.0.2.1"), mapping("2001:db8::1", "nowhere-1")]
    answer = set_all(some)
    equal([(item.origin_ip, item.region) for item in answer.succeeded], [("192.0.2.1", "us-central1")])
    equal([item.origin_ip for item in answer.failed], ["2001:db8::1"])
    assert answer.failed[0].error, answer
    many = [mapping(f"10.0.0.{number}") for number in range(100)]
    answer = set_all(many)
    equal((len(answer.succeeded), answer.failed), (100, []))
    too_many = many + some
    desk.refused(cloudflare.BadRequestError, 1146, None, {}, regions.bulk_update, zone_id=ZONE, body=too_many)

    page = desk.call("list_cloud_regions", {"page": 1}, regions.list, zone_id=ZONE, page=1, per_page=100)
    equal(len(page.result), 100)
    page = desk.call("list_cloud_regions", {"page": 2}, page.get_next_page)
    equal([item.origin_ip for item in page.result], ["192.0.2.1"])
    everything = [item.origin_ip for item in regions.list(zone_id=ZONE)]
    equal(len(set(everything)), 101)
    error = desk.refused(
        cloudflare.BadRequestError, 1146, None, {}, regions.list, zone_id=ZONE, page=1, per_page=101
    )
    equal(error.errors[0].message, "invalid per_page parameter, must be between 1 and 100")
    # The SDK cannot say which mappings to delete; the schema requires a body, and without one the request is meaningless.
    desk.refused(cloudflare.BadRequestError, 1146, None, {}, regions.bulk_delete, zone_id=ZONE)
    gone = ["10.0.0.0", "10.0.0.1", "192.0.2.77"]
    delete = partial(regions.bulk_delete, zone_id=ZONE, extra_body=gone)
    answer = desk.call("delete_cloud_regions", {"ips": gone}, delete)
    equal([item.origin_ip for item in answer.succeeded], ["10.0.0.0", "10.0.0.1"])
    equal([item.origin_ip for item in answer.failed], ["192.0.2.77"])

    supported = desk.call("list_supported_regions", {}, regions.supported_regions, zone_id=ZONE)
    assert supported.obtained_codes, supported
    equal(sorted(supported.vendors), ["aws", "azure", "gcp", "oci"])
    assert "us-east-1" in [region.name for region in supported.vendors["aws"]], supported

    denied, regions = cloudflare.AuthenticationError, desk.guarded.cache.origin_cloud_regions
    named = {"zone_id": ZONE}
    desk.refused(denied, 10000, "list_cloud_regions", {"page": 1}, regions.list, **named, page=1, per_page=100)
    arguments = {"items": some}
    desk.refused(denied, 10000, "set_cloud_regions", arguments, regions.bulk_update, **named, body=some)
    arguments, delete = {"ips": gone}, partial(regions.bulk_delete, extra_body=gone)
    desk.refused(denied, 10000, "delete_cloud_regions", arguments, delete, **named)
    desk.refused(denied, 10000, "list_supported_regions", {}, regions.supported_regions, **named)


@case
def zones_and_environments(desk):
    zones = desk.enterprise.zones
    found = desk.call("list_zones", {"name": "example.com"}, zones.list, name="example.com")
    equal([(zone.id, zone.name, zone.status) for zone in found.result], [(ZONE, "example.com", "active")])
    found = desk.call("list_zones", {"name": "example.net"}, zones.list, name="example.net")
    equal(found.result, [])
    found = desk.call("list_zones", {"page": 1}, zones.list, page=1, per_page=50)
    equal(len(found.result), 1)
    desk.refused(cloudflare.BadRequestError, 1146, None, {}, zones.list, per_page=51)
    zone = desk.call("get_zone", {}, zones.get, zone_id=ZONE)
    equal((zone.id, zone.name, zone.plan.legacy_id), (ZONE, "example.com", "enterprise"))
    assert isinstance(zone.modified_on, datetime), zone

    place = {"zone_id": ZONE}
    answer = desk.call("list_environments", {}, zones.environments.list, **place)
    equal([environment.name for environment in answer.environments], ["Production", "Staging", "Development"])
    equal([environment.ref for environment in answer.environments][1:], [STAGING, DEVELOPMENT])

    other, denied = "0" * 32, cloudflare.PermissionDeniedError
    desk.refused(denied, 9109, "get_zone", {"zone": other}, zones.get, zone_id=other)
    arguments = {"zone": other}
    desk.refused(denied, 10000, "list_environments", arguments, zones.environments.list, zone_id=other)
    unknown, guarded = cloudflare.AuthenticationError, desk.guarded.zones
    desk.refused(unknown, 10000, "list_zones", {"name": "example.com"}, guarded.list, name="example.com")


@case
def token_verification(desk):
    account = {"account": ACCOUNT}
    for client, works in [(desk.enterprise, True), (desk.guarded, False)]:
        rows = [
            ("verify_token", {}, client.user.tokens.verify, {}),
            ("verify_account_token", account, client.accounts.tokens.verify, {"account_id": ACCOUNT}),
        ]
        for operation, arguments, function, named in rows:
            if works:
                equal(desk.call(operation, arguments, function, **named).status, "active")
            else:
                kind = cloudflare.AuthenticationError
                desk.refused(kind, 1000, operation, arguments, function, **named)


class Origin(BaseHTTPRequestHandler):
    """A site with one page that never changes, so that it can be revalidated."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Serves it."""
        is_known = self.headers["if-none-match"] == '"one"'
        body = b"" if is_known else b"body {}"
        self.send_response(304 if is_known else 200)
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("Cache-Tag", "a-cache-tag")
        self.send_header("ETag", '"one"')
        if not is_known:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing."""


@case
def what_is_purged_is_gone_from_the_edge(desk):
    with ThreadingHTTPServer(("127.0.0.1", desk.origin_port), Origin) as origin:
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        cookies = {None: {}, STAGING: {"cookie": "cf_env=staging"}}

        def visit(environment):
            headers = {"host": "www.example.com"} | cookies[environment]
            return httpx.get(f"{desk.edge}/css/styles.css", headers=headers).headers["cf-cache-status"]

        bodies = [
            {"files": ["https://www.example.com/css/styles.css"]},
            {"tags": ["a-cache-tag"]},
            {"hosts": ["www.example.com"]},
            {"prefixes": ["www.example.com/css"]},
            {"purge_everything": True},
        ]
        for environment, other in [(None, STAGING), (STAGING, None)]:
            scope, suffix = ("environment", "_environment") if environment else ("zone", "")
            place = {"zone_id": ZONE} | ({"environment_id": environment} if environment else {})
            named = {"environment": environment} if environment else {}
            for action, gone in [("purge", "MISS"), ("invalidate", "REVALIDATED")]:
                for body in bodies:
                    for each in [environment, other]:
                        visit(each)
                        equal(visit(each), "HIT")
                    function = getattr(desk.enterprise.cache, f"{action}{suffix}")
                    arguments = named | {"body": json.dumps(body)}
                    desk.call(f"{action}_{scope}_cache", arguments, function, **place, **body)
                    equal((body, visit(environment)), (body, gone))
                    # Everything in the zone includes all its environments.
                    is_all = environment is None and "purge_everything" in body
                    equal((body, visit(other)), (body, gone if is_all else "HIT"))
        origin.shutdown()


def main():
    """Runs every case, and reports the results."""
    path, urls = sys.argv[1], dict(pair.split("=", 1) for pair in sys.argv[2:])
    failed = 0
    with open(path, "w", encoding="utf-8") as record:
        desk = Desk(record, urls)
        for function in CASES:
            try:
                function(desk)
            except Exception as error:  # The other cases are run after any error.
                failed += 1
                print(f"FAILED {function.__name__}: {type(error).__name__}: {error}")
            else:
                print(f"ok     {function.__name__}")
    print(f"cloudflare {cloudflare.__version__}: {len(CASES) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
