"""MLflow's own client makes webhooks of a platform, and MLflow's own code verifies what comes."""

import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import EVENT_TO_PAYLOAD_CLASS, get_example_payload_for_event

SECRET = "a-secret-of-the-test"
came = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        delivery, sent = self.headers["X-MLflow-Delivery-Id"], self.headers["X-MLflow-Timestamp"]
        assert self.headers["X-MLflow-Signature"] == _generate_hmac_signature(SECRET, delivery, sent, body)
        assert self.headers["Content-Type"] == "application/json"
        came.put(json.loads(body))
        self.send_response(404 if self.path == "/missing" else 200)
        self.end_headers()
        self.wfile.write(b"heard")

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
client = MlflowClient(tracking_uri=sys.argv[1], registry_uri=sys.argv[1])


def heard(entity, action):
    got = came.get(timeout=20)
    assert (got["entity"], got["action"]) == (entity, action), got
    return got["data"]


def refused(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MlflowException as e:
        assert e.error_code == code, e
    else:
        raise AssertionError(f"{args} {kwargs} was not refused")


events = [WebhookEvent(entity, action) for entity, action in EVENT_TO_PAYLOAD_CLASS if str(entity) != "budget_policy"]
hook = client.create_webhook(name="all", url=url, events=events, description="of the test", secret=SECRET)
assert (hook.name, hook.url, hook.events, hook.description, hook.status, hook.secret) == ("all", url, events, "of the test", WebhookStatus.ACTIVE, None)
assert client.get_webhook(hook.webhook_id).events == events

# Each example is MLflow's own.
for event in events:
    result = client.test_webhook(hook.webhook_id, event=event)
    assert (result.success, result.response_status, result.response_body, result.error_message) == (True, 200, "heard", None), result
    assert heard(str(event.entity), str(event.action)) == get_example_payload_for_event(event), event

# What happens is told, as MLflow tells it.
client.create_registered_model("fraud", tags={"tier": "1"}, description="finds it")
assert heard("registered_model", "created") == {"name": "fraud", "tags": {"tier": "1"}, "description": "finds it"}
client.create_model_version("fraud", "s3://bucket/x", tags={"k": "v"}, description="first", await_creation_for=0)
assert heard("model_version", "created") == {"name": "fraud", "version": "1", "source": "s3://bucket/x", "run_id": None, "tags": {"k": "v"}, "description": "first"}
client.set_model_version_tag("fraud", "1", "key", "value")
assert heard("model_version_tag", "set") == {"name": "fraud", "version": "1", "key": "key", "value": "value"}
client.delete_model_version_tag("fraud", "1", "key")
assert heard("model_version_tag", "deleted") == {"name": "fraud", "version": "1", "key": "key"}
client.set_registered_model_alias("fraud", "champion", "1")
assert heard("model_version_alias", "created") == {"name": "fraud", "alias": "champion", "version": "1"}
client.delete_registered_model_alias("fraud", "champion")
assert heard("model_version_alias", "deleted") == {"name": "fraud", "alias": "champion"}

# Pages, changes, and what the platform has beside.
more = [client.create_webhook(name=f"n{i}", url=url, events=["registered_model.created"]) for i in range(4)]
page = client.list_webhooks(max_results=3)
assert [w.name for w in page] == ["n3", "n2", "n1"] and page.token
rest = client.list_webhooks(max_results=3, page_token=page.token)
assert [w.name for w in rest] == ["n0", "all"] and not rest.token
changed = client.update_webhook(more[0].webhook_id, name="other", url=url + "missing", events=["model_version.created"], status="DISABLED", description="")
assert (changed.name, changed.url, changed.status, changed.events) == ("other", url + "missing", WebhookStatus.DISABLED, [WebhookEvent("model_version", "created")])
changed = client.update_webhook(more[0].webhook_id, secret=SECRET)
result = client.test_webhook(more[0].webhook_id)
assert (result.success, result.response_status, result.error_message) == (False, 404, None), result
for w in more:
    client.delete_webhook(w.webhook_id)
assert [w.name for w in client.list_webhooks()] == ["all"]

# Bad input.
refused("RESOURCE_DOES_NOT_EXIST", client.get_webhook, "nothing")
refused("RESOURCE_DOES_NOT_EXIST", client.get_webhook, more[0].webhook_id)
refused("RESOURCE_DOES_NOT_EXIST", client.delete_webhook, "..%2f..%2fetc")
refused("INVALID_PARAMETER_VALUE", client.list_webhooks, max_results=1001)
refused("INVALID_PARAMETER_VALUE", client.list_webhooks, page_token="no token")
refused("INVALID_PARAMETER_VALUE", client.create_webhook, name="bad name", url=url, events=events)
refused("INVALID_PARAMETER_VALUE", client.create_webhook, name="x", url=url, events=["budget_policy.exceeded"])
for bad in ["", "ftp://example.com", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data", "https://127.1/", "http://hooks.example.com/", "https://a:b@example.com/"]:
    refused("INVALID_PARAMETER_VALUE", client.create_webhook, name="x", url=bad, events=events)
print("all is well")
