"""Open Inference over REST, with JSON data."""

import checks
from checks import REST, Skipped, check, expect


def error_of(r, at_least=400):
    """An error status with the body that the text wants."""
    expect(r.status_code >= at_least, f"status {r.status_code}")
    expect(r.status_code < 500, f"status {r.status_code}, as if the server were at fault")
    try:
        body = r.json()
    except ValueError:
        body = None
    expect(isinstance(body, dict) and isinstance(body.get("error"), str), f"no {{error: string}} in the body: {r.text[:120]!r}")


@check(REST, "Server Live", "GET v2/health/live answers 200")
def live(t):
    r = t.get("/v2/health/live")
    expect(r.status_code == 200, f"status {r.status_code}")


@check(REST, "Server Live Response JSON Object", "the answer is {live: bool}")
def live_body(t):
    r = t.get("/v2/health/live")
    expect(r.text != "" and r.json().get("live") is True, f"body {r.text[:80]!r}")


@check(REST, "Server Ready", "GET v2/health/ready answers 200 when models can be asked")
def ready(t):
    r = t.get("/v2/health/ready")
    expect(r.status_code == 200, f"status {r.status_code}")


@check(REST, "Server Ready Response JSON Object", "the answer is {live: bool}, or {ready: bool} as KServe has it")
def ready_body(t):
    r = t.get("/v2/health/ready")
    expect(r.text != "" and (r.json().get("live") is True or r.json().get("ready") is True), f"body {r.text[:80]!r}")


@check(REST, "Server Metadata Response JSON Object", "GET v2 answers name, version and extensions")
def server_metadata(t):
    body = t.get("/v2").json()
    for key, kind in {"name": str, "version": str, "extensions": list}.items():
        expect(isinstance(body.get(key), kind), f"{key} is {body.get(key)!r}")
    expect(all(isinstance(e, str) for e in body["extensions"]), "an extension is no string")


@check(REST, "Model Ready Response JSON Object", "GET v2/models/M/ready answers {name, ready}")
def model_ready(t):
    r = t.get(t.path + "/ready")
    expect(r.status_code == 200, f"status {r.status_code}")
    expect(r.text != "", "the body is empty")
    expect(r.json().get("name") == t.model and r.json().get("ready") is True, f"body {r.text[:80]!r}")


@check(REST, "Model Ready", "a model that is not there is not ready")
def model_not_ready(t):
    r = t.get("/v2/models/no-such-model/ready")
    expect(r.status_code >= 400, f"status {r.status_code}")


@check(REST, "Model Metadata Response JSON Object", "name, platform, inputs and outputs with name, datatype and shape")
def model_metadata(t):
    body = t.metadata()
    expect(body.get("name") == t.model, f"name is {body.get('name')!r}")
    expect(isinstance(body.get("platform"), str), f"platform is {body.get('platform')!r}")
    for side in ("inputs", "outputs"):
        expect(isinstance(body.get(side), list) and body[side], f"{side} are {body.get(side)!r}")
        for x in body[side]:
            expect(isinstance(x.get("name"), str), f"a name in {side} is {x.get('name')!r}")
            expect(x.get("datatype") in {*checks.NUMPY, "BF16"}, f"a datatype in {side} is {x.get('datatype')!r}")
            expect(all(isinstance(d, int) and d >= -1 for d in x.get("shape", [None])), f"a shape in {side} is {x.get('shape')!r}")
    versions = body.get("versions")
    expect(versions is None or all(isinstance(v, str) for v in versions), f"versions are {versions!r}")


@check(REST, "Model Metadata Response JSON Error Object", "an unknown model is an error status with {error}")
def model_metadata_error(t):
    error_of(t.get("/v2/models/no-such-model"))


def version_of(t):
    versions = t.metadata().get("versions")
    if not versions:
        raise Skipped("the model has no versions that can be asked for")
    return versions[-1]


@check(REST, "Model Metadata", "versions of the metadata can be asked for by path: metadata, ready and infer")
def versions(t):
    path = f"{t.path}/versions/{version_of(t)}"
    for r in (t.get(path), t.get(path + "/ready"), t.infer(checks.example(t.metadata()), path)):
        expect(r.status_code == 200, f"{r.request.path_url} answers {r.status_code}")


@check(REST, "Model Metadata", "a version that the metadata do not name is an error")
def unknown_version(t):
    version_of(t)
    expect(t.get(t.path + "/versions/987654321").status_code >= 400, "metadata answer 200")
    expect(t.infer(checks.example(t.metadata()), t.path + "/versions/987654321").status_code >= 400, "infer answers 200")


def answered(t, body):
    r = t.infer(body)
    expect(r.status_code == 200, f"status {r.status_code}: {r.text[:200]}")
    return r.json()


@check(REST, "Inference Response JSON Object", "model_name, and outputs with name, shape, datatype and data of that many elements")
def infer(t):
    body = answered(t, checks.example(t.metadata()))
    expect(body.get("model_name") == t.model, f"model_name is {body.get('model_name')!r}")
    version = body.get("model_version")
    expect(version is None or isinstance(version, str), f"model_version is {version!r}")
    declared = {o["name"]: o for o in t.metadata()["outputs"]}
    expect(body.get("outputs"), "there are no outputs")
    for o in body["outputs"]:
        expect(o["name"] in declared, f"the metadata have no output {o['name']!r}")
        expect(o["datatype"] == declared[o["name"]]["datatype"], f"{o['name']} is {o['datatype']}, not {declared[o['name']]['datatype']}")
        n = 1
        for d in o["shape"]:
            n *= d
        expect(len(checks.flat(o["data"])) == n, f"{o['name']} has {len(checks.flat(o['data']))} elements and the shape {o['shape']}")


@check(REST, "Inference Response JSON Object", "the id of a request is returned")
def request_id(t):
    expect(answered(t, checks.example(t.metadata())).get("id") == "conformance-1", "it is not")


@check(REST, "Inference Request JSON Object", "id, parameters and outputs may be left out")
def minimal(t):
    body = checks.example(t.metadata())
    del body["id"]
    answered(t, body)


@check(REST, "Inference Request JSON Object", "parameters of a request and of an input are taken: string, number, boolean")
def parameters(t):
    body = checks.example(t.metadata())
    body["parameters"] = {"text": "x", "number": 7, "flag": True}
    body["inputs"][0]["parameters"] = {"text": "x", "number": 7.5, "flag": False}
    answered(t, body)


@check(REST, "Inference Request JSON Object", "without outputs all outputs of the model are returned")
def all_outputs(t):
    got = {o["name"] for o in answered(t, checks.example(t.metadata()))["outputs"]}
    want = {o["name"] for o in t.metadata()["outputs"]}
    expect(got == want, f"{sorted(want - got)} are missing, {sorted(got - want)} are not in the metadata")


@check(REST, "Request Output", "only the outputs that are requested are returned")
def requested_outputs(t):
    names = [o["name"] for o in t.metadata()["outputs"]]
    body = checks.example(t.metadata())
    body["outputs"] = [{"name": names[-1]}]
    got = [o["name"] for o in answered(t, body)["outputs"]]
    expect(got == [names[-1]], f"{got} are returned where {[names[-1]]} was requested")


@check(REST, "Request Output", "a requested output that the model has not is an error")
def unknown_output(t):
    body = checks.example(t.metadata())
    body["outputs"] = [{"name": "no-such-output"}]
    error_of(t.infer(body))


@check(REST, "Tensor Data", "data may be nested arrays of the tensor's shape, too")
def nested(t):
    body = checks.example(t.metadata())
    flat = answered(t, body)["outputs"]
    for x in body["inputs"]:
        for d in reversed(x["shape"][1:]):
            x["data"] = [x["data"][i : i + d] for i in range(0, len(x["data"]), d)]
    got = answered(t, body)["outputs"]
    expect([checks.flat(o["data"]) for o in got] == [checks.flat(o["data"]) for o in flat], "nested data are answered otherwise than flat data")


@check(REST, "Inference Response JSON Error Object", "an unknown model is an error status with {error}")
def infer_unknown_model(t):
    error_of(t.infer(checks.example(t.metadata()), "/v2/models/no-such-model"))


@check(REST, "Inference Response JSON Error Object", "a body that is no JSON is an error status below 500 with {error}")
def no_json(t):
    error_of(t.infer("{"))


def broken(name, rule, change):
    def f(t):
        body = checks.example(t.metadata())
        change(body)
        error_of(t.infer(body))

    f.__name__ = name
    check(REST, "Inference Response JSON Error Object", rule + " is an error status below 500 with {error}")(f)


broken("no_inputs", "a request without inputs", lambda b: b.pop("inputs"))
broken("no_datatype", "an input without a datatype", lambda b: b["inputs"][0].pop("datatype"))
broken("no_shape", "an input without a shape", lambda b: b["inputs"][0].pop("shape"))
broken("no_name", "an input without a name", lambda b: b["inputs"][0].pop("name"))
broken("no_data", "an input without data", lambda b: b["inputs"][0].pop("data"))
broken("unknown_datatype", "a datatype that is none", lambda b: b["inputs"][0].update(datatype="FP7"))
broken("short_data", "fewer elements than the shape says", lambda b: b["inputs"][0]["data"].pop())
broken("long_data", "more elements than the shape says", lambda b: b["inputs"][0]["data"].append(b["inputs"][0]["data"][0]))
broken("negative_shape", "a negative length in a shape", lambda b: b["inputs"][0].update(shape=[-1, *b["inputs"][0]["shape"][1:]]))
broken("huge_shape", "a shape whose product overflows", lambda b: b["inputs"][0].update(shape=[1 << 62, 1 << 62]))
broken("numeric_id", "an id that is no string", lambda b: b.update(id=7))
