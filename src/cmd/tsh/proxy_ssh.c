/* SPDX-License-Identifier: Apache-2.0 */
/* tsh proxy ssh: connects standard input and output to a node's SSH server, for ssh; tsh proxy attach and known-host. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "client/fd_stream.h"
#include "client/host_answer.h"
#include "client/locate.h"
#include "client/openssh.h"
#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "cmd/tsh/relay.h"

const struct argument proxy_ssh_arguments[] = {
        { "[login@]node[:port]", .is_required = true, .help = "Node by name or host ID; the port is of no meaning" },
        { NULL },
};

struct passage {
        struct loop loop;
        struct stream *node;
        struct error *err;
        uint64_t from_node;
        struct host_answer *answer; /* for tsh proxy known-host; NULL: none */
        struct locate *query;    /* while it is pending */
};

/* Whether the login is part of the target, as with ssh's %r; the query of both commands has the arguments of ssh only. */
static const char *query_of(const struct profile *p, const struct target *t)
{
        return t->login == NULL || t->node == NULL ? NULL
                                                   : host_answer_query(p->arena, p->web_addr, p->cluster, p->user,
                                                                          arena_printf(p->arena, "%s@%s", t->login, t->node));
}

static void on_located(void *ctx, const char *host_id, struct error *err)
{
        struct passage *passage = ctx;

        error_free(err); /* tsh proxy known-host makes its own request, and reports the error */
        passage->query = NULL;
        host_answer_set(passage->answer, host_id);
}

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct passage *passage = ctx;

        passage->node = s;
        passage->err = err;
        loop_stop(&passage->loop);
}

static void on_spliced(void *ctx, uint64_t to_node, uint64_t from_node)
{
        struct passage *passage = ctx;

        (void)to_node;
        passage->from_node = from_node;
        loop_stop(&passage->loop);
}

/* Ends the request and the socket, and runs until the pending output is written. */
static void finish(struct passage *passage)
{
        host_answer_close(passage->answer);
        passage->answer = NULL;
        if (passage->query != NULL)
                locate_cancel(passage->query);
        loop_run(&passage->loop);
}

static struct error *pass(struct passage *passage, const struct profile *p, const char *node, const char *login)
{
        struct stream *stdio = NULL;

        struct client_dial *dial = client_dial_node(&passage->loop, p, node, login, on_dialled, passage);
        (void)dial; /* ends by itself; there is nothing to cancel */
        loop_run(&passage->loop);
        if (passage->err != NULL)
                return passage->err;
        struct error *err = fd_stream_new(&passage->loop, STDIN_FILENO, STDOUT_FILENO, &stdio);
        if (err != NULL) {
                stream_close(passage->node);
                return err;
        }
        struct splice *splice = splice_start(&passage->loop, stdio, passage->node, LIMIT_SPLICE_WINDOW, on_spliced, passage);
        (void)splice;
        if (passage->answer != NULL) /* while ssh exchanges keys */
                passage->query = locate_start(&passage->loop, p, node, login, on_located, passage);
        loop_run(&passage->loop);
        finish(passage);
        if (passage->from_node > 0)
                return NULL;
        return error_hint(error_new(ERROR_UNAVAILABLE, "the node ended the connection without a reason"),
                          "it may be refusing sessions, or its agent is starting again; try once more");
}

struct error *proxy_ssh_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        struct passage passage = { 0 };
        struct target target;
        const char *login = NULL;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(target_parse_address(p.arena, str_of(flags_argument(given, 0)), p.cluster, &target));
        TRY(user_check_target(&p, &target));
        TRY(user_login(given, &p, &target, &login));
        TRY(loop_init(&passage.loop, NULL));
        const char *query = query_of(&p, &target);
        if (query != NULL)
                passage.answer = host_answer_listen(&passage.loop, query);
        struct error *err = pass(&passage, &p, target.node, login);
        host_answer_close(passage.answer);
        loop_release(&passage.loop);
        return err == NULL ? NULL : user_explain(&p, target.node, err);
}

/* ---- tsh proxy attach ------------------------------------------------------------------------------------------- */

const struct argument proxy_attach_arguments[] = {
        { "socket", .is_required = true, .help = "Of a connection to a node that tsh ssh made" },
        { NULL },
};

struct error *proxy_attach_run(void *ctx, const struct flags *given)
{
        (void)ctx;
        return relay_attach(flags_argument(given, 0));
}

/* ---- tsh proxy known-host --------------------------------------------------------------------------------------- */

const struct argument proxy_known_host_arguments[] = {
        { "[login@]node", .is_required = true, .help = "Node that ssh connects to" },
        { "host", .is_required = true, .help = "Name that ssh looks up in known_hosts" },
        { "key", .is_required = true, .help = "Certificate that the host shows, base64; NONE before it did" },
        { NULL },
};

/*
 * Appends the known_hosts lines for the answer of the sibling tsh proxy ssh, which has checked the certificates of the same
 * profile. False: there is no answer, and the Auth Service must be called.
 */
static bool put_known_beside(struct buf *out, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO_PTR(arena) a = arena_new(16 * KiB);
        struct target target = { 0 };
        const char *proxy = NULL, *cluster = flags_text(given, "cluster"), *query = NULL, *id = NULL;

        AUTO_PTR(error) err = user_proxy(a, given, &proxy);
        if (err == NULL)
                err = profile_find(&p, proxy, flags_text(given, "user"));
        if (err == NULL && (cluster == NULL || strcmp(cluster, p.cluster) == 0))
                err = target_parse_address(p.arena, str_of(flags_argument(given, 0)), p.cluster, &target);
        if (err == NULL)
                query = query_of(&p, &target);
        if (query != NULL)
                id = host_answer_fetch(p.arena, query);
        if (id != NULL)
                err = openssh_put_known_host(out, &p, flags_argument(given, 1), flags_argument(given, 2), id);
        if (err != NULL)
                buf_clear(out);
        return id != NULL && err == NULL;
}

struct error *proxy_known_host_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(buf) out = BUF_MAX(256 * KiB);
        struct target target;
        const char *login = NULL, *id = NULL, *key = flags_argument(given, 2);

        (void)ctx;
        if (strcmp(key, "NONE") == 0)
                return NULL;
        if (put_known_beside(&out, given))
                return output_flush(&out);
        TRY(user_load(given, &p));
        TRY(target_parse_address(p.arena, str_of(flags_argument(given, 0)), p.cluster, &target));
        TRY(user_check_target(&p, &target));
        TRY(user_login(given, &p, &target, &login));
        TRY(locate(&p, target.node, login, &id));
        TRY(openssh_put_known_host(&out, &p, flags_argument(given, 1), key, id));
        return output_flush(&out);
}
