/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepts connections and brings each one to the point where it can be served: counted by its source (net/admission.h), its
 * first bytes read, its TLS handshake done, each within a deadline. A connection is a socket that was accepted, or a stream
 * passed to acceptor_give(): a stream from a WebSocket or a tunnel passes the same steps under the same limits. A socket may
 * begin with the header of a load balancer (net/ingress.h), after which it counts for the load balancer's client.
 *
 *     open() ─► BEGIN ── begun() decides ──► HANDSHAKE ──► served() ─► accepted_release()
 *       │         │            └──────────────────│─────► accepted_take_stream() ─► accepted_release()
 *       └─────────┴───────────────────────────────┴─────► failed() ─► accepted_release()
 *
 * The owner embeds a struct accepted in its record of a connection. The acceptor lists the records until they are released,
 * so that it can end one to make room for another, and drain or stop all.
 */
#ifndef NET_ACCEPTOR_H
#define NET_ACCEPTOR_H

#include "base/buf.h"
#include "base/limits.h"
#include "net/admission.h"
#include "net/ingress.h"
#include "net/socket.h"
#include "net/stream.h"
#include "net/tls.h"

struct accepted;

/* Called from the loop or, where stated, from inside a call of an acceptor function. */
struct acceptor_events {
        /* Returns the struct accepted of a new record, all zero. */
        struct accepted *(*open)(void *ctx);
        /*
         * More of the first bytes were received; `bytes` is all of them, borrowed. If they are enough, the owner calls
         * accepted_start_tls(), accepted_take_stream(), accepted_hold() or accepted_end(); otherwise it returns to get more.
         */
        void (*begun)(struct accepted *a, struct str bytes);
        /* The handshake has finished. `tls` is owned by the owner. */
        void (*served)(struct accepted *a, struct stream *tls);
        /*
         * The connection ended before it was served, in a->step; ACCEPTED_NEW: a limit was reached. The owner releases the
         * record, and owns err. May be called inside accepted_end(), accepted_move(), acceptor_give(), acceptor_drain() and
         * acceptor_stop().
         */
        void (*failed)(struct accepted *a, struct error *err);
        /* For a connection of the owner: finish the open work, accept no new work, then release the record. */
        void (*drain)(struct accepted *a);
        /*
         * The same, at once: the acceptor is stopped, or another connection needs the capacity. May be called inside
         * accepted_move(), acceptor_give() and acceptor_stop().
         */
        void (*end)(struct accepted *a);
        /*
         * From the loop, while draining or stopped: no record is left. Called at most once for each acceptor_drain() and
         * acceptor_stop(). Gets the context only: the acceptor may be freed.
         */
        void (*empty)(void *ctx);
};

enum { ACCEPTOR_PORTS_MAX = 2 };

/* The owner sets the fields up to `ingress`, calls acceptor_init(), and does not access those below. */
struct acceptor {
        struct loop *loop;
        struct sources *sources;
        const struct acceptor_events *events;
        void *ctx;
        struct duration timeout; /* for the first bytes, and again for the handshake */
        size_t begin_max;        /* begun() must have decided once this many bytes were received */
        size_t begin_read;       /* bytes: maximum of a socket read before begun() has decided; 0: LOOP_BUFFER */
        const struct ingress *ingress; /* who may announce a client; NULL: headers of load balancers are not known */

        struct admission admission;
        struct acceptor_port {
                struct acceptor *acceptor;
                struct listener *listener; /* NULL: it does not listen */
        } ports[ACCEPTOR_PORTS_MAX];
        size_t port_count;
        struct accepted *newest;
        struct accepted *next_to_finish; /* position of acceptor_drain() or acceptor_stop() in the list */
        bool is_draining;
};

enum accepted_step {
        ACCEPTED_NEW,       /* not counted yet */
        ACCEPTED_BEGIN,     /* its first bytes are read */
        ACCEPTED_HANDSHAKE,
        ACCEPTED_SERVED,    /* its stream belongs to the owner */
};

/* Bytes: with a carrier, a read may complete one record of TLS and so deliver this much more than the limit of reads. */
enum { ACCEPTED_RECORD_MAX = 16 * KiB };

/* The owner reads the fields up to `is_private`, and sets admitted.is_fixed while the connection must not be ended for another one. */
struct accepted {
        char peer[ADDRESS_TEXT_MAX]; /* the address with port under which it is counted */
        enum accepted_step step;
        struct admitted admitted;
        size_t port;     /* the listening socket that it came by, in the order of acceptor_listen(); 0 if it was given */
        bool is_carried; /* it was given with a carrier */
        bool is_private; /* it connected from a private address, whatever client it announces */

        struct acceptor *acceptor; /* NULL: not listed */
        struct accepted *next, **at;
        struct stream *stream; /* while in BEGIN */
        struct stream *socket; /* the lowest layer, not owned; NULL if the stream was given without a carrier */
        bool may_have_header;  /* the header of a load balancer may come next */
        bool is_own;           /* the peer is this machine; set only where there is an ingress */
        struct timer *deadline;
        struct buf begin;
        struct tls_handshake *handshake;
};

void acceptor_init(struct acceptor *ac);

/* Accepts on a listening socket, owned from now on. Called at most ACCEPTOR_PORTS_MAX times. */
void acceptor_listen(struct acceptor *ac, int fd);

/*
 * Takes a connected stream (owned, also if refused) of `peer` as if it had been accepted, and returns its record. NULL:
 * refused, because the acceptor is draining or failed() was called.
 *
 * carrier  the connection whose stream is below s, released soon: s is counted in its place, and limits of reads apply to its
 *          socket, beyond which ACCEPTED_RECORD_MAX may be delivered. NULL: there is none; s is read by LOOP_BUFFER, so that
 *          this much more than begin_max may be held.
 */
struct accepted *acceptor_give(struct acceptor *ac, struct stream *s, const char *peer, struct accepted *carrier) MUST_USE;

/* Lists a connection that is served without these steps and not counted, such as one from this machine. */
void acceptor_adopt(struct acceptor *ac, struct accepted *a, const char *peer);

/* Closes the listening sockets. May be called again. */
void acceptor_stop_listening(struct acceptor *ac);

/*
 * Accepts no more connections (while a listening socket is open, new ones are closed), ends those not served yet, and has
 * the owner drain the others.
 */
void acceptor_drain(struct acceptor *ac);

/* The same, but ends all connections. */
void acceptor_stop(struct acceptor *ac);

bool acceptor_is_empty(const struct acceptor *ac);

/* To be called in begun(): starts the handshake, with all bytes except the first `skip`. */
void accepted_start_tls(struct accepted *a, struct tls_context *tls, size_t skip);

/*
 * To be called in begun() instead of the others: reads no more and has no deadline until one of them is called later, which the owner
 * guarantees. It may end before: failed().
 */
void accepted_hold(struct accepted *a);

/*
 * To be called in begun(): the connection is served without TLS. Returns its stream, which delivers all bytes except the first
 * `skip`; the owner sets its events or closes it before returning to the loop.
 */
struct stream *accepted_take_stream(struct accepted *a, size_t skip) MUST_USE;

/* Limits each later read of the socket to `most` bytes. No effect on a stream that was given without a carrier. */
void accepted_limit_reads(struct accepted *a, size_t most);

/* Ends a connection that is not served yet: failed() is called with err (owned), or from the loop with CANCELLED. */
void accepted_end(struct accepted *a, struct error *err);

/*
 * Counts it for another source from now on: the client behind a proxy. RESOURCE_EXHAUSTED: it is not counted any more, and
 * the owner must end it.
 */
struct error *accepted_move(struct accepted *a, const char *peer) MUST_USE;

/*
 * Counts a connection that could have announced its client (ingress_announces()) for its peer instead: what it serves from now
 * on has no such announcement. No effect on others. RESOURCE_EXHAUSTED: as accepted_move().
 */
struct error *accepted_end_exemption(struct accepted *a) MUST_USE;

/* Stops counting it: its peer is authenticated, or other limits apply from now on. May be called again. */
void accepted_uncount(struct accepted *a);

/* Removes the record of a connection that failed or was served; the owner frees it. */
void accepted_release(struct accepted *a);

#endif
