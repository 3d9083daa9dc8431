"""Open Inference over gRPC."""

import checks
import grpc
from checks import GRPC, REPOSITORY, Skipped, check, expect

# What a server may call a request that is wrong.
BLAMED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE,
          grpc.StatusCode.PERMISSION_DENIED}  # fmt: skip


def request(t, as_raw=False):
    """A valid request, by the metadata that REST gives or, without, those of gRPC."""
    r = t.pb.ModelInferRequest(model_name=t.model, id="conformance-2")
    for x in checks.example(t.metadata())["inputs"]:
        tensor = r.inputs.add(name=x["name"], datatype=x["datatype"], shape=x["shape"])
        if as_raw:
            r.raw_input_contents.append(checks.raw(x["datatype"], x["data"]))
        else:
            elements = [v.encode() for v in x["data"]] if x["datatype"] == "BYTES" else x["data"]
            getattr(tensor.contents, checks.CONTENTS[x["datatype"]]).extend(elements)
    return r


def typed(t):
    """As request; a model with an input of half precision cannot be asked like that."""
    if any(x["datatype"] in ("FP16", "BF16") for x in t.metadata()["inputs"]):
        raise Skipped("the model takes half precision, which contents cannot hold")
    return request(t)


def elements(response):
    """The outputs of a response by name, with their elements."""
    out = {}
    raws = list(response.raw_output_contents)
    expect(not raws or len(raws) == len(response.outputs), f"{len(raws)} raw contents for {len(response.outputs)} outputs")
    for i, o in enumerate(response.outputs):
        if raws:
            expect(not o.HasField("contents"), f"{o.name} has contents beside raw contents")
            data = checks.from_raw(o.datatype, raws[i])
        else:
            data = list(getattr(o.contents, checks.CONTENTS[o.datatype]))
            data = [x.decode() for x in data] if o.datatype == "BYTES" else data
        n = 1
        for d in o.shape:
            n *= d
        expect(len(data) == n, f"{o.name} has {len(data)} elements and the shape {list(o.shape)}")
        out[o.name] = data
    return out


@check(GRPC, "Server Live", "ServerLive answers live")
def grpc_live(t):
    expect(t.call("ServerLive", t.pb.ServerLiveRequest()).live, "it is not live")


@check(GRPC, "Server Ready", "ServerReady answers ready")
def grpc_ready(t):
    expect(t.call("ServerReady", t.pb.ServerReadyRequest()).ready, "it is not ready")


@check(GRPC, "Server Metadata", "ServerMetadata answers the name and the version, and the extensions of REST")
def grpc_server_metadata(t):
    got, rest = t.call("ServerMetadata", t.pb.ServerMetadataRequest()), t.get("/v2").json()
    expect([got.name, got.version, list(got.extensions)] == [rest["name"], rest["version"], rest["extensions"]], f"{got} is not what REST answers")


@check(GRPC, "Model Ready", "ModelReady answers ready")
def grpc_model_ready(t):
    expect(t.call("ModelReady", t.pb.ModelReadyRequest(name=t.model)).ready, "it is not ready")


@check(GRPC, "Model Ready", "a model that is not there is not ready, or an error of the caller")
def grpc_model_not_ready(t):
    try:
        got = t.call("ModelReady", t.pb.ModelReadyRequest(name="no-such-model"))
    except grpc.RpcError as e:
        expect(e.code() in BLAMED, f"the code is {e.code().name}")
        return
    expect(not got.ready, "it is ready")


@check(GRPC, "Model Metadata", "ModelMetadata answers what REST answers")
def grpc_model_metadata(t):
    got, rest = t.call("ModelMetadata", t.pb.ModelMetadataRequest(name=t.model)), t.metadata()
    expect(got.name == t.model and got.platform == rest["platform"], f"name {got.name!r}, platform {got.platform!r}")
    expect(list(got.versions) == (rest.get("versions") or []), f"versions {list(got.versions)}")
    for side in ("inputs", "outputs"):
        have = [(x.name, x.datatype, list(x.shape)) for x in getattr(got, side)]
        want = [(x["name"], x["datatype"], x["shape"]) for x in rest[side]]
        expect(have == want, f"{side} differ")


@check(GRPC, "Model Metadata", "an unknown model is an error of the caller")
def grpc_model_metadata_error(t):
    code = t.refused("ModelMetadata", t.pb.ModelMetadataRequest(name="no-such-model"))
    expect(code in BLAMED, f"the code is {code.name}")


@check(GRPC, "Inference", "ModelInfer takes contents: every input in the field for its datatype")
def grpc_infer(t):
    out = t.call("ModelInfer", typed(t))
    expect(out.model_name == t.model, f"model_name is {out.model_name!r}")
    same(t, elements(out))


@check(GRPC, "Inference", "ModelInfer takes raw_input_contents")
def grpc_infer_raw(t):
    same(t, elements(t.call("ModelInfer", request(t, as_raw=True))))


def same(t, got):
    """Compares answers with those of REST."""
    for o in t.infer(checks.example(t.metadata())).json()["outputs"]:
        expect(got[o["name"]] == checks.flat(o["data"]), f"{o['name']} is answered otherwise than over REST")


@check(GRPC, "Inference", "the id of a request is returned")
def grpc_request_id(t):
    out = t.call("ModelInfer", request(t, as_raw=True))
    expect(out.id == "conformance-2", f"it is {out.id!r}")


@check(GRPC, "Inference", "a version of the metadata can be asked for, and is the one that is answered")
def grpc_version(t):
    versions = t.metadata().get("versions")
    if not versions:
        raise Skipped("the model has no versions that can be asked for")
    r = request(t, as_raw=True)
    r.model_version = versions[-1]
    out = t.call("ModelInfer", r)
    expect(out.model_version == versions[-1], f"version {out.model_version!r} answers")


@check(GRPC, "Inference", "a version that the metadata do not name is an error of the caller")
def grpc_unknown_version(t):
    if not t.metadata().get("versions"):
        raise Skipped("the model has no versions that can be asked for")
    r = request(t, as_raw=True)
    r.model_version = "987654321"
    code = t.refused("ModelInfer", r)
    expect(code in BLAMED, f"the code is {code.name}")


@check(GRPC, "Inference", "parameters of a request, an input and an output are taken")
def grpc_parameters(t):
    r = request(t, as_raw=True)
    r.parameters["text"].string_param = "x"
    r.parameters["number"].int64_param = 7
    r.inputs[0].parameters["flag"].bool_param = True
    r.outputs.add(name=t.metadata()["outputs"][0]["name"]).parameters["text"].string_param = "x"
    t.call("ModelInfer", r)


@check(GRPC, "Inference", "only the outputs that are requested are returned")
def grpc_requested_outputs(t):
    name = t.metadata()["outputs"][-1]["name"]
    r = request(t, as_raw=True)
    r.outputs.add(name=name)
    got = [o.name for o in t.call("ModelInfer", r).outputs]
    expect(got == [name], f"{got} are returned where {[name]} was requested")


def broken(name, rule, change, as_raw=True):
    def f(t):
        r = request(t, as_raw=True) if as_raw else typed(t)
        change(r)
        code = t.refused("ModelInfer", r)
        expect(code in BLAMED, f"the code is {code.name}")

    f.__name__ = name
    check(GRPC, "Inference", rule + " is an error of the caller")(f)


def both(r):
    r.inputs[0].contents.bool_contents.append(True)


def cut(r):
    r.raw_input_contents[0] = r.raw_input_contents[0][:-1]


def reshape(*shape):
    def change(r):
        del r.inputs[0].shape[:]
        r.inputs[0].shape.extend(shape)

    return change


broken("grpc_unknown_model", "an unknown model", lambda r: setattr(r, "model_name", "no-such-model"))
broken("grpc_unknown_output", "a requested output that the model has not", lambda r: r.outputs.add(name="no-such-output"))
broken("grpc_no_inputs", "a request without inputs", lambda r: (r.ClearField("inputs"), r.ClearField("raw_input_contents")))
broken("grpc_unknown_datatype", "a datatype that is none", lambda r: setattr(r.inputs[0], "datatype", "FP7"))
broken("grpc_raw_short", "raw contents shorter than shape and datatype", cut)
broken("grpc_raw_missing", "raw contents for some inputs only", lambda r: r.raw_input_contents.append(b""))
broken("grpc_both", "contents beside raw_input_contents", both)
broken("grpc_negative_shape", "a negative length in a shape", reshape(-1, 2))
broken("grpc_huge_shape", "a shape whose product overflows", reshape(1 << 62, 1 << 62))
broken("grpc_contents_short", "fewer elements in contents than the shape says", reshape(1 << 20, 2), as_raw=False)


def extension(t):
    if "model_repository" not in t.get("/v2").json().get("extensions", []):
        raise Skipped("the server does not name model_repository among its extensions")


@check(REPOSITORY, "Index", "POST v2/repository/index lists the models with name and state")
def index(t):
    extension(t)
    r = t.post("/v2/repository/index", {})
    expect(r.status_code == 200, f"status {r.status_code}")
    entry = next((m for m in r.json() if m["name"] == t.model), None)
    expect(entry and entry.get("state") == "READY", f"the model is {entry}")


@check(REPOSITORY, "Index", "RepositoryIndex lists what REST lists")
def grpc_index(t):
    extension(t)
    got = {(m.name, m.version, m.state) for m in t.call("RepositoryIndex", t.pb.RepositoryIndexRequest()).models}
    want = {(m["name"], m.get("version") or "", m["state"]) for m in t.post("/v2/repository/index", {}).json()}
    expect(got == want, f"{sorted(got)} over gRPC, {sorted(want)} over REST")


@check(REPOSITORY, "Load", "a model that is loaded can be loaded again")
def load(t):
    extension(t)
    r = t.post(f"/v2/repository/models/{t.model}/load", {})
    expect(r.status_code == 200, f"status {r.status_code}")
    t.call("RepositoryModelLoad", t.pb.RepositoryModelLoadRequest(model_name=t.model))
