/* SPDX-License-Identifier: Apache-2.0 */
#include "crowd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/mem.h"
#include "net/socket.h"
#include "net/tls.h"
#include "rpc/rpc.h"

struct agent {
        struct crowd *crowd;
        struct instant start;
        char *name;
        struct rpc_client *client;
        struct join_client_options options;
};

static void agent_begin(struct crowd *c);

/* The client is closed after its last callback, not in it. */
static void agent_end(void *ctx)
{
        struct agent *a = ctx;
        struct crowd *c = a->crowd;

        rpc_client_close(a->client);
        free(a->name);
        free(a);
        c->under_way--;
        if (c->started < c->wanted)
                agent_begin(c);
        else if (c->under_way == 0)
                loop_stop(&c->loop);
}

static void on_outcome(void *ctx, struct join_outcome *o, struct error *err)
{
        struct agent *a = ctx;
        struct crowd *c = a->crowd;

        must(err);
        sample_add(&c->latency_ms, seconds_since(a->start) * 1e3);
        c->joined++;
        if (c->on_joined != NULL)
                c->on_joined(c->ctx, &o->identity);
        loop_defer(&c->loop, agent_end, a);
}

static void on_lost(void *ctx, struct error *err)
{
        (void)ctx;
        must(err);
}

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct agent *a = ctx;
        struct crowd *c = a->crowd;

        must(err);
        a->client = rpc_client_new(&c->loop, tls, "proxy", on_lost, a);
        (void)!join_client_start(&c->loop, a->client, &a->options, on_outcome, a);
}

/*
 * Agents have addresses of their own, and so do these: all of 127.0.0.0/8 is this machine. On loopback
 * a connection is there as soon as it is asked for.
 */
static int dial_from_own_address(const char *proxy, size_t serial)
{
        struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010001 + (uint32_t)(serial % 60000)) };
        struct sockaddr_in theirs = { .sin_family = AF_INET };
        struct str host;
        int port, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

        must(address_split(str_of(proxy), 3080, &host, &port));
        AUTO_MEM char *literal = str_dup(host);
        theirs.sin_port = htons((uint16_t)port);
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        if (inet_pton(AF_INET, literal, &theirs.sin_addr) != 1 || bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
            connect(fd, (struct sockaddr *)&theirs, sizeof theirs) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
                bug("cannot connect to '%s'", proxy);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        return fd;
}

static void agent_begin(struct crowd *c)
{
        static size_t serial; /* no name comes twice in a cluster */
        struct agent *a = NEW(struct agent);
        int fd = dial_from_own_address(c->proxy, serial);

        a->crowd = c;
        a->start = loop_now(&c->loop);
        a->name = mem_printf("bench-%zu", serial++);
        a->options = c->options;
        a->options.host_name = a->name;
        c->started++;
        c->under_way++;
        (void)!tls_start(&c->loop, c->tls, socket_stream(&c->loop, fd), NULL, SECONDS(10), on_handshake, a);
}

void crowd_init(struct crowd *c, const char *proxy, const char *token)
{
        static const char *const alpn[] = { "teleport-proxy-grpc", "h2", NULL };

        *c = (struct crowd){
                .proxy = proxy,
                .options = { .trust = JOIN_TRUST_INSECURE, .token_name = token, .method = "iam" },
        };
        must(loop_init(&c->loop, NULL));
        must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &c->tls));
}

void crowd_release(struct crowd *c)
{
        sample_release(&c->latency_ms);
        tls_context_free(c->tls);
        loop_release(&c->loop);
}

void crowd_join(struct crowd *c, size_t at_once, size_t count)
{
        c->started = 0;
        c->wanted = count;
        while (c->under_way < at_once && c->started < c->wanted)
                agent_begin(c);
        loop_run(&c->loop);
}
