package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/route"
)

// maxTable bounds a table on the admin socket, in bytes.
const maxTable = 64 << 20

// stopRequest asks Serve to end.
type stopRequest struct {
	replicas bool          // end them too
	done     chan struct{} // closed when it is done
}

// admin is the server's way to the gateway, on a socket that only this user can reach:
// whoever connects is an owner.
//
//	PUT  /table             a route.Table; answers an Ack
//	PUT  /secrets           secrets.Handed: what models get in their environment
//	GET  /observe           a route.Observation
//	POST /fresh             the grants in force are those that the server would give now
//	GET  /journal?after=N   the vetoes above a sequence number, in order
//	GET  /uses              when tokens were last used, by id
//	GET  /refusals?after=N  who was refused, above a sequence number; those up to it are forgotten
//	GET  /answered?id=ID    which revisions answered requests of that id, newest first
//	POST /stop?replicas=…   ends the gateway; "stop" ends the replicas too. Answers when done
//	/v2/… /endpoints/…      predictions as on the public address, without a token
//
// Errors are the fields of a slipway.Error.
func (g *Gateway) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /table", func(w http.ResponseWriter, r *http.Request) {
		g.hear()
		var t route.Table
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxTable)).Decode(&t); err != nil {
			writeError(w, &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Message: "the table cannot be read",
				Next: "use a server of the gateway's version", Cause: err})
			return
		}
		ack, err := g.Apply(t)
		if err != nil {
			writeError(w, err)
			return
		}
		answer.Write(w, http.StatusOK, ack)
	})
	mux.HandleFunc("GET /observe", func(w http.ResponseWriter, _ *http.Request) { answer.Write(w, http.StatusOK, g.Observe()) })
	mux.HandleFunc("POST /fresh", func(w http.ResponseWriter, _ *http.Request) {
		g.hear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /uses", func(w http.ResponseWriter, _ *http.Request) { answer.Write(w, http.StatusOK, g.table.Load().uses()) })
	mux.HandleFunc("GET /refusals", func(w http.ResponseWriter, r *http.Request) {
		after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
		if err != nil {
			writeError(w, invalid("after", "is no sequence number"))
			return
		}
		answer.Write(w, http.StatusOK, route.Refusals{Gateway: g.c.Name, List: g.refused.After(after)})
	})
	if g.c.Secrets != nil {
		mux.Handle("PUT /secrets", g.c.Secrets)
	}
	mux.HandleFunc("GET /journal", func(w http.ResponseWriter, r *http.Request) {
		after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
		if err != nil {
			writeError(w, invalid("after", "is no sequence number"))
			return
		}
		answer.Write(w, http.StatusOK, g.journal.after(after))
	})
	mux.HandleFunc("GET /answered", g.whoAnswered)
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, r *http.Request) {
		s := stopRequest{r.FormValue("replicas") == "stop", make(chan struct{})}
		select {
		case g.stop <- s:
			<-s.done
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	})
	owner := caller{grant: &route.Grant{Principal: "server", Scope: route.ScopeOwner}}
	predict := func(w http.ResponseWriter, r *http.Request) { g.data(w, r, r.URL.Path, owner) }
	mux.HandleFunc("/v2/", predict)
	mux.HandleFunc("/endpoints/", predict)
	return mux
}

// whoAnswered finds the answers to requests of an id.
func (g *Gateway) whoAnswered(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	if id == "" || len(id) > slipway.MaxRequestID {
		writeError(w, invalid("id", "is no id of a request"))
		return
	}
	found, err := g.answers.Find(r.Context(), id)
	if err != nil {
		writeError(w, ioError("read which revisions answered", err))
		return
	}
	out := route.Answers{Gateway: g.c.Name, Dropped: g.answers.Dropped(), List: []route.Answered{}}
	for _, a := range found {
		endpoint, revision, _ := strings.Cut(a.Name, " ")
		out.List = append(out.List, route.Answered{Time: a.Time, Endpoint: endpoint, Revision: revision, Outcome: a.Outcome})
	}
	answer.Write(w, http.StatusOK, out)
}

// wireError carries an error over the admin socket.
type wireError struct {
	Code    string       `json:"code"`
	Kind    slipway.Kind `json:"kind"`
	Message string       `json:"message"`
	Next    string       `json:"next,omitempty"`
	Field   string       `json:"field,omitempty"`
}

func writeError(w http.ResponseWriter, err error) {
	e := slipway.AsError(err)
	answer.Write(w, answer.Status(e), wireError{e.Code, e.Kind, e.Message, e.Next, e.Field})
}
