/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/users/decision.h"

#include <stdlib.h>

#include "auth/hosts/hosts.h"
#include "auth/web/web_sessions.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/cert_check.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"

enum { DECISION_ARENA = 4 * LIMIT_STORE_VALUE + CERT_READ_ARENA };

/* ---- certificates ----------------------------------------------------------------------------------------- */

static struct error *log_in_again(struct error *err)
{
        return error_hint(err, "log in again: `tsh login`");
}

static struct error *check_times(int64_t from, int64_t until, struct walltime now)
{
        if (now.ns < walltime_of_unix(from).ns)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not in force yet");
        if (now.ns >= walltime_of_unix(until).ns)
                return log_in_again(error_new(ERROR_UNAUTHENTICATED, "the certificate has expired"));
        return NULL;
}

static struct error *check_signed_by_users(const Cteleport__Internal__V1__Authority *ca, struct str der)
{
        struct error *err = NULL;

        for (size_t i = 0; i < ca->n_tls_certs; i++) {
                error_free(err);
                err = cert_check_issuer(der, pb_str(ca->tls_certs[i]));
                if (err == NULL)
                        return NULL;
        }
        return error_because(log_in_again(error_new(ERROR_UNAUTHENTICATED, "the certificate is not one of a user of this cluster")), err);
}

struct error *user_cert_check(const struct authorities *cas, struct str cluster, struct str der, struct walltime now, struct arena *arena,
                              struct cert_info *ret)
{
        TRY(check_signed_by_users(cas->user, der));
        struct error *err = cert_read(arena, der, ret);
        if (err != NULL)
                return error_because(error_new(ERROR_UNAUTHENTICATED, "the certificate cannot be read"), err);
        if (!ret->is_user || !str_equal(ret->cluster, cluster) || !name_is_user(ret->common_name))
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not one of a user of this cluster");
        return check_times(walltime_unix(ret->times.not_before), walltime_unix(ret->times.not_after), now);
}

static bool is_key_of(const Cteleport__Internal__V1__Authority *ca, struct str key)
{
        for (size_t i = 0; i < ca->n_ssh_keys; i++)
                if (str_equal(pb_str(ca->ssh_keys[i]), key))
                        return true;
        return false;
}

static bool has_principal(const struct ssh_cert_info *cert, struct str login)
{
        for (size_t i = 0; i < cert->principal_count; i++)
                if (str_equal(cert->principals[i], login))
                        return true;
        return false;
}

/* SSH times are unsigned, and "forever" is the largest of them. */
static int64_t clamp_time(uint64_t seconds)
{
        return seconds > INT32_MAX * (uint64_t)4 ? INT32_MAX * (int64_t)4 : (int64_t)seconds;
}

struct error *ssh_user_cert_check(const struct authorities *cas, struct str wire, struct str user, struct str login, struct walltime now,
                                  struct arena *arena, struct ssh_cert_info *ret)
{
        struct error *err = wire.len > CERT_MAX ? error_new(ERROR_INVALID_ARGUMENT, "it is too large") : ssh_cert_read(arena, wire, ret);

        if (err != NULL)
                return error_because(error_new(ERROR_UNAUTHENTICATED, "the certificate cannot be read"), err);
        if (ret->kind != SSH_CERT_USER || !is_key_of(cas->user, ret->ca_key))
                return log_in_again(error_new(ERROR_UNAUTHENTICATED, "the certificate was not signed by the user CA of this cluster"));
        TRY(check_times(clamp_time(ret->valid_after), clamp_time(ret->valid_before), now));
        if (!str_equal(ret->key_id, user))
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not that of the user who opened this connection");
        if (!name_is_login(login) || !has_principal(ret, login)) {
                AUTO_MEM char *shown = escaped(login);

                return log_in_again(error_new(ERROR_PERMISSION_DENIED, "the certificate does not hold the login '%s'", shown));
        }
        return NULL;
}

/* ---- users on nodes ------------------------------------------------------------------------------------------- */

static struct str *role_names(const struct access_user *p, struct arena *arena)
{
        struct str *names = arena_alloc(arena, (p->role_count + 1) * sizeof *names);

        for (size_t i = 0; i < p->role_count; i++)
                names[i] = str_of(p->roles[i]->metadata->name);
        return names;
}

static struct error *find_user(const struct directory *d, struct str user, struct str login, const struct node *node, struct arena *arena,
                                 struct access_user *ret_user)
{
        struct error *err = directory_access_user(d, user, arena, ret_user);

        if (err != NULL && err->code == ERROR_NOT_FOUND)
                return error_because(error_new(ERROR_PERMISSION_DENIED, "this user is not there any more"), err);
        if (err != NULL)
                return err;
        const struct lock_subject subject = {
                .user = user,
                .login = login,
                .host_id = node->host_id,
                .hostname = node->hostname,
                .aws_account = node->aws_account,
                .aws_arn = node->aws_arn,
                .system_roles = node->system_roles,
                .system_role_count = node->system_role_count,
                .roles = role_names(ret_user, arena),
                .role_count = ret_user->role_count,
        };
        return directory_check_locks(d, &subject);
}

struct error *decision_check_anywhere(const struct directory *d, struct str user, struct str login, struct arena *arena,
                                    struct access_user *ret_user)
{
        const struct node anywhere = { 0 };

        return find_user(d, user, login, &anywhere, arena, ret_user);
}

struct error *decision_check(const struct directory *d, struct str user, struct str login, const struct node *node, struct arena *arena,
                           struct access_user *ret_user, struct access_session *ret_may)
{
        TRY(find_user(d, user, login, node, arena, ret_user));
        if (!str_is_empty(login))
                return access_check_login(ret_user, node->labels, node->label_count, login, ret_may);
        if (!access_sees(ret_user, ROLE_NODE_LABELS, node->labels, node->label_count))
                return error_new(ERROR_PERMISSION_DENIED, "none of your roles gives access to this node");
        return NULL;
}

struct error *decision_check_app(const struct directory *d, struct str user, struct str app, const struct node *host, struct arena *arena,
                                 struct access_user *ret_user, struct access_session *ret_may)
{
        const struct node_app *offered = node_find_app(host, app);

        TRY(find_user(d, user, STR(""), host, arena, ret_user));
        if (offered == NULL)
                return error_new(ERROR_PERMISSION_DENIED, "the host does not offer this application any more");
        return access_check_app(ret_user, offered->labels, offered->label_count, ret_may);
}

/* ---- a connection ------------------------------------------------------------------------------------------------ */

struct decision {
        struct auth *auth;
        struct arena *arena;
        const struct resource_kind *kind;
        struct kind_fields fields;
        struct str user, host_id;
        struct str certificate;
        struct str web_session; /* of the known connection */
        struct node known; /* from the records of the connection and of the host */
        struct str member_name; /* name of the host at its join; locks of this and of the announced name apply */
        bool has_known;
        bool is_beginning;
        int64_t cert_ends; /* of the connection on which a session begins; Unix seconds, 0: not known */
        void (*done)(void *ctx, const struct answer *answer);
        void *ctx;
};

struct error *decision_check_ssh_certificate(const struct shown_certificate *c, struct answer *answer)
{
        struct ssh_cert_info *cert = arena_alloc(c->arena, sizeof *cert);

        TRY(ssh_user_cert_check(&c->auth->authorities, c->bytes, c->user, c->fields->node.login, loop_wall(&c->auth->loop), c->arena, cert));
        TRY(directory_check_issued(c->auth->directory, c->user, walltime_of_unix(clamp_time(cert->valid_after))));
        answer->serial = str_of(arena_printf(c->arena, "%llu", (unsigned long long)cert->serial));
        answer->ends = clamp_time(cert->valid_before);
        answer->permits_pty = ssh_cert_permits(cert, STR("permit-pty"));
        answer->permits_port_forwarding = answer->may.port_forwarding && ssh_cert_permits(cert, STR("permit-port-forwarding"));
        answer->permits_agent_forwarding = answer->may.agent_forwarding && ssh_cert_permits(cert, STR("permit-agent-forwarding"));
        return NULL;
}

struct error *decision_check_cert_app(const struct cert_info *cert, const struct resource_kind *kind, const struct kind_fields *fields)
{
        bool is_other = strcmp(kind->name, "app") != 0 || !str_equal(fields->app.name, cert->app);

        if (str_is_empty(cert->app) || !is_other)
                return NULL;
        return error_new(ERROR_PERMISSION_DENIED, "the certificate is good for the application '%.*s' only", STR_ARG(cert->app));
}

struct error *decision_check_x509_certificate(const struct shown_certificate *c, struct answer *answer)
{
        struct cert_info cert = { 0 };

        if (c->bytes.len > CERT_MAX)
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is too large");
        TRY(user_cert_check(&c->auth->authorities, c->auth->cluster, c->bytes, loop_wall(&c->auth->loop), c->arena, &cert));
        if (!str_equal(cert.common_name, c->user))
                return error_new(ERROR_UNAUTHENTICATED, "the certificate is not that of the user who opened this connection");
        TRY(directory_check_issued(c->auth->directory, c->user, cert.times.not_before));
        TRY(web_sessions_check(c->auth->web_sessions, cert.web_session, c->user));
        if (!str_is_empty(cert.app) && !str_equal(cert.app, c->fields->app.name))
                return error_new(ERROR_PERMISSION_DENIED, "the certificate is good for the application '%.*s' only", STR_ARG(cert.app));
        answer->serial = cert.serial_hex;
        answer->web_session = cert.web_session;
        answer->ends = walltime_unix(cert.times.not_after);
        return NULL;
}

static struct error *check_all(const struct decision *d, const struct node *node, struct answer *answer)
{
        struct access_user user = { 0 };
        struct error *err = d->kind->check(d->auth->directory, d->user, &d->fields, node, d->arena, &user, &answer->may);

        answer->roles = role_names(&user, d->arena);
        answer->role_count = user.role_count;
        if (err != NULL)
                return err;
        TRY(web_sessions_check(d->auth->web_sessions, d->web_session, d->user));
        if (d->is_beginning) {
                answer->ends = d->cert_ends;
                return d->cert_ends == 0 ? NULL : check_times(0, d->cert_ends, loop_wall(&d->auth->loop));
        }
        const struct shown_certificate shown = { d->auth, d->certificate, d->user, &d->fields, d->arena };
        return str_is_empty(d->certificate) ? NULL : d->kind->check_certificate(&shown, answer);
}

/* Checks locks of the name with which the node joined. */
static struct error *check_member_name(const struct decision *d)
{
        const struct lock_subject subject = { .host_id = d->host_id, .hostname = d->member_name };

        return str_is_empty(d->member_name) ? NULL : directory_check_locks(d->auth->directory, &subject);
}

static void answer_with(struct decision *d, const struct node *node, struct error *err)
{
        struct answer answer = { .user = d->user, .fields = d->fields };

        if (d->auth->is_stopping) {
                error_free(err);
                answer.refusal = error_new(ERROR_UNAVAILABLE, "the Auth Service is stopping");
        } else if (node != NULL) {
                answer.hostname = node->hostname;
                answer.resource = d->kind->resource(node, &d->fields);
                answer.refusal = check_all(d, node, &answer);
                if (answer.refusal == NULL)
                        answer.refusal = check_member_name(d);
        } else if (err != NULL) {
                answer.refusal = error_because(error_new(ERROR_UNAVAILABLE, "the cluster cannot look up this node now"), err);
        } else if (d->has_known) {
                answer.refusal = error_new(ERROR_PERMISSION_DENIED, "this node was removed from the cluster");
        } else {
                answer.refusal = error_new(ERROR_UNAVAILABLE, "this node does not announce itself to the cluster now");
        }
        d->done(d->ctx, &answer);
        error_free(answer.refusal);
        arena_free(d->arena);
        free(d);
}

/*
 * For a node without presence: the host's record has its attested identity, so that a lock of its account, ARN or role ends
 * its open connections. A host without a record is no member of the cluster any more.
 */
static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct decision *d = ctx;

        (void)revision;
        if (host == NULL) {
                answer_with(d, NULL, err);
                return;
        }
        char **roles = arena_alloc(d->arena, (host->n_system_roles + 1) * sizeof *roles);
        for (size_t i = 0; i < host->n_system_roles; i++)
                roles[i] = pb_text(arena_str(d->arena, str_of(host->system_roles[i])).ptr); /* arena texts end in NUL */
        d->known.system_roles = roles;
        d->known.system_role_count = host->n_system_roles;
        d->known.aws_account = arena_str(d->arena, str_of(host->aws_account));
        d->known.aws_arn = arena_str(d->arena, str_of(host->aws_arn));
        d->member_name = arena_str(d->arena, str_of(host->hostname));
        answer_with(d, &d->known, NULL);
}

static void on_node(void *ctx, const struct node *node, struct error *err)
{
        struct decision *d = ctx;

        if (node == NULL && err == NULL && d->has_known)
                host_get(d->auth->store, d->host_id, on_host, d);
        else
                answer_with(d, node, err);
}

static void keep_known(struct decision *d, const Cteleport__State__V1__Connection *c)
{
        d->has_known = true;
        d->web_session = arena_str(d->arena, str_of(c->web_session));
        d->known = (struct node){ .host_id = d->host_id, .hostname = arena_str(d->arena, str_of(c->hostname)), .has_ssh = true };
        d->known.labels = arena_alloc(d->arena, (c->n_labels + 1) * sizeof *d->known.labels);
        for (size_t i = 0; i < c->n_labels; i++)
                d->known.labels[d->known.label_count++] = (struct access_label){ arena_str(d->arena, str_of(c->labels[i]->key)),
                                                                                 arena_str(d->arena, str_of(c->labels[i]->value)) };
        if (c->resource[0] == '\0')
                return;
        d->known.apps = arena_alloc(d->arena, sizeof *d->known.apps);
        d->known.app_count = 1;
        d->known.apps[0] = (struct node_app){ .name = d->fields.app.name, .uri = arena_str(d->arena, str_of(c->resource_uri)), .labels = d->known.labels,
                                                .public_addr = arena_str(d->arena, str_of(c->resource_public_addr)), .label_count = d->known.label_count };
}

void decide(struct auth *a, const struct query *q, void (*done)(void *ctx, const struct answer *answer), void *ctx)
{
        struct decision *d = NEW(struct decision);

        d->auth = a;
        d->arena = arena_new(DECISION_ARENA);
        d->user = arena_str(d->arena, q->user);
        d->kind = q->kind;
        d->fields = kind_fields_copy(d->arena, &q->fields);
        d->host_id = arena_str(d->arena, q->host_id);
        d->certificate = arena_str(d->arena, str_slice(q->certificate, 0, CERT_MAX + 1));
        d->done = done;
        d->ctx = ctx;
        if (q->known != NULL)
                keep_known(d, q->known);
        d->is_beginning = q->is_beginning && q->known != NULL;
        d->cert_ends = d->is_beginning ? q->known->cert_ends : 0;
        node_find(a, d->host_id, on_node, d);
}
