/* SPDX-License-Identifier: Apache-2.0 */
#include "signer/signer.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/sandbox.h"
#include "pki/jws.h"
#include "rpc/link.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "signer/authorities.h"
#include "signer/issued_log.h"
#include "signer/policy.h"
#include "signer/rotation.h"
#include "services/services.h"

enum {
        REQUEST_ARENA = 1 * MiB, /* a decoded request of LINK_MESSAGE_MAX, and its answer */
        SECURE_HEAP = 64 * KiB,  /* CA keys and temporary values of signing; below the usual RLIMIT_MEMLOCK */
        SECURE_PIECE = 32,
};

struct signer {
        const char *data_dir;
        enum key_kind token_key; /* of a new CA jwt */
        struct authorities authorities;
        struct rotations rotations;
        struct issued_log log;
        int use_fd;     /* file that is written before the first certificate; -1: the CA is marked as used */
        bool is_open;   /* the CA is loaded, the log is open, the sandbox is active */
        bool is_broken; /* what is on the disk is unknown, or a CA was created but is_open was not reached: the process must end */
};

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* Gives OpenSSL a secure heap for private keys: locked, excluded from core dumps, wiped. Called before the first key. */
static void prepare_openssl(void)
{
        /* OpenSSL must not read a configuration file, even if the environment names one: it could load code. */
        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        if (!CRYPTO_secure_malloc_initialized() && CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_PIECE) != 1)
                log_warn("CA keys may be swapped out: locked memory is not to be had",
                         LOG_C("hint", "raise LimitMEMLOCK to 128K or more"));
}

/*
 * Gives the files of the CA to the signer's user, and switches to that user. The CA directory becomes the working directory, as
 * that user cannot enter the directories above it.
 */
static struct error *change_user(const char *ca_dir)
{
        TRY(sandbox_give(&services_process("signer")->user, ca_dir));
        if (chdir(ca_dir) < 0)
                return error_errno(errno, "cannot enter the directory of the CA");
        return sandbox_become_unprivileged(&services_process("signer")->user);
}

static struct ca_template template_of(const struct signer *s, struct str cluster)
{
        return (struct ca_template){ .cluster = cluster, .now = clock_wall(clock_system()), .token_key = s->token_key };
}

/*
 * At the first start after an earlier release: hosts and users do not depend on the CA jwt, so it may begin later than the others. On a
 * full disk the cluster goes on without it. If it was rotated before, it is not new but lost.
 */
static struct error *add_jwt(struct signer *s)
{
        const struct ca_template t = template_of(s, buf_str(&s->authorities.cluster));

        if (authority_exists(&s->authorities.all[AUTHORITY_JWT]))
                return NULL;
        if (s->rotations.all[AUTHORITY_JWT].id[0] != '\0')
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the cluster's CA cannot be used: the file jwt.key.pem is missing"),
                                  "restore it from a backup");
        struct error *err = authorities_add_jwt(&s->authorities, ".", &t);
        if (err != NULL && err->code == ERROR_RESOURCE_EXHAUSTED) {
                log_error("The CA for tokens of applications cannot be made; the next start tries again", LOG_ERR(err));
                error_free(err);
                return NULL;
        }
        if (err == NULL)
                log_info("The CA for tokens of applications was made, which the data directory did not have");
        return err;
}

/* The setting may have been changed since the key was made. */
static void log_other_algorithm(const struct signer *s)
{
        const struct authority *all = &s->authorities.all[AUTHORITY_JWT], *next = &s->authorities.next[AUTHORITY_JWT];
        const struct key *newest = &(authority_exists(next) ? next : all)->jwt;
        const char *set = s->token_key == KEY_RSA_2048 ? "RS256" : "ES256";

        if (newest->handle != NULL && strcmp(jws_algorithm(newest), set) != 0)
                log_info("The next key of tokens for applications will be for another algorithm", LOG_C("now", jws_algorithm(newest)), LOG_C("next", set),
                         LOG_C("hint", "tctl auth rotate --type=jwt makes the next key"));
}

/* Loads the existing CA and enters the sandbox: from then on no file is opened. */
static struct error *shut_in(struct signer *s)
{
        AUTO_MEM char *ca_dir = mem_printf("%s/ca", s->data_dir);

        TRY(change_user(ca_dir));
        struct error *err = rotations_open(&s->rotations, ".");
        if (err == NULL)
                err = authorities_load_from(&s->authorities, ".");
        if (err == NULL)
                err = add_jwt(s);
        if (err == NULL)
                err = rotations_load(&s->rotations, &s->authorities, ".");
        if (err != NULL)
                return error_wrap(err, "%s", ca_dir);
        log_other_algorithm(s);
        s->use_fd = authorities_open_use(".");
        if (s->use_fd < 0 && access("issued.log", F_OK) < 0)
                log_warn("The log of issued certificates is missing; a new one begins, without the earlier certificates",
                         LOG_C("hint", "put the file issued.log back beside the CA, from a backup or from where it was moved"));
        TRY(issued_log_open(&s->log, "./issued.log"));
        TRY(sandbox_enter(services_process("signer")->sandbox, (struct sandbox_paths){ 0 }));
        s->is_open = true;
        log_info("CA loaded", LOG_STR("cluster", buf_str(&s->authorities.cluster)),
                 LOG_C("sandbox", sandbox_describe()));
        return NULL;
}

/* At the start: an existing CA must be valid. If there is no CA, auth decides whether one is created. */
static struct error *open_ca(struct signer *s)
{
        AUTO_MEM char *ca_dir = mem_printf("%s/ca", s->data_dir);
        struct stat st;

        if (lstat(ca_dir, &st) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "cannot check for the CA");
        if (!S_ISDIR(st.st_mode))
                return error_new(ERROR_FAILED_PRECONDITION, "the cluster's CA cannot be used: %s is not a directory", ca_dir);
        return shut_in(s);
}

/* At the first start of the cluster. */
static struct error *create_ca(struct signer *s, struct str cluster)
{
        const struct ca_template t = template_of(s, cluster);

        TRY(authorities_create(s->data_dir, &t));
        log_info("new CA made", LOG_STR("cluster", cluster));
        s->is_broken = true; /* until the sandbox is entered */
        TRY(shut_in(s));
        s->is_broken = false;
        return NULL;
}

static struct error *check_cluster(const struct signer *s, struct str wanted)
{
        if (str_equal(wanted, buf_str(&s->authorities.cluster)))
                return NULL;
        AUTO_MEM char *shown = escaped(wanted);
        return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                    "the CA in the data directory is that of cluster '%.*s', not of '%s'",
                                    STR_ARG(buf_str(&s->authorities.cluster)), shown),
                          "set auth_service.cluster_name to '%.*s', or use another data directory",
                          STR_ARG(buf_str(&s->authorities.cluster)));
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

static ProtobufCBinaryData binary(struct arena *a, struct str bytes)
{
        struct str copy = arena_str(a, bytes);

        return pb_bytes(copy);
}

static char *text(struct arena *a, struct str s)
{
        return pb_text(str_to_c(a, s));
}

static void put_ca(Cteleport__Internal__V1__Authority *to, struct arena *a, const struct authority *from)
{
        if (from->jwt.handle != NULL)
                to->jwt_keys[to->n_jwt_keys++] = binary(a, buf_str(&from->jwt_spki));
        if (from->x509 == NULL)
                return;
        to->tls_certs[to->n_tls_certs++] = binary(a, buf_str(&from->tls_cert));
        to->ssh_keys[to->n_ssh_keys++] = binary(a, buf_str(&from->ssh_key));
}

static ProtobufCMessage *describe_authorities(const struct signer *s, struct arena *a)
{
        Cteleport__Internal__V1__Authorities *answer = arena_alloc(a, sizeof(*answer));

        cteleport__internal__v1__authorities__init(answer);
        answer->cluster = text(a, buf_str(&s->authorities.cluster));
        answer->n_authorities = AUTHORITY_COUNT;
        answer->authorities = arena_alloc(a, AUTHORITY_COUNT * sizeof(Cteleport__Internal__V1__Authority *));
        for (size_t i = 0; i < AUTHORITY_COUNT; i++) {
                const struct ca_rotation *rotation = &s->rotations.all[i];
                bool is_new_first = ca_phase_signs_with_new(rotation->phase, i == AUTHORITY_HOST);
                const struct authority *old = &s->authorities.all[i], *new = &s->authorities.next[i];
                Cteleport__Internal__V1__Authority *to = arena_alloc(a, sizeof(*to));

                cteleport__internal__v1__authority__init(to);
                to->type = text(a, str_of(authority_name((enum authority_type)i)));
                to->phase = text(a, str_of(ca_phase_name(rotation->phase)));
                to->rotation_id = text(a, str_of(rotation->id));
                to->tls_certs = arena_alloc(a, 2 * sizeof(*to->tls_certs));
                to->ssh_keys = arena_alloc(a, 2 * sizeof(*to->ssh_keys));
                to->jwt_keys = arena_alloc(a, 2 * sizeof(*to->jwt_keys));
                put_ca(to, a, is_new_first ? new : old);
                put_ca(to, a, is_new_first ? old : new);
                answer->authorities[i] = to;
        }
        return &answer->base;
}

static struct error *answer_authorities(struct signer *s, struct arena *a, const ProtobufCMessage *message,
                                        ProtobufCMessage **ret)
{
        const Cteleport__Internal__V1__AuthoritiesRequest *request = (const void *)message;
        struct str cluster = str_of(request->cluster);

        if (!s->is_open && !request->may_create)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the cluster is initialised, but its CA is gone from the data directory"),
                                  "restore the directory 'ca' from a backup; a new CA would be a new cluster, which no "
                                  "host trusts: to begin one on purpose, move 'backend' away too");
        if (s->is_open && s->use_fd < 0 && request->may_create)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                            "the CA in the data directory is in use, but the cluster's state does not know of a cluster"),
                                  "restore the directory 'backend' with all its files from a backup; to begin a new cluster on "
                                  "purpose, which no host and no user of the old one trusts, move 'ca' away too");
        if (!s->is_open)
                TRY(create_ca(s, cluster));
        TRY(check_cluster(s, cluster));
        *ret = describe_authorities(s, a);
        return NULL;
}

/* Called before a certificate is made: from then on hosts and users may trust this CA. */
static struct error *note_use(struct signer *s)
{
        if (s->use_fd < 0)
                return NULL;
        TRY(authorities_note_use(s->use_fd));
        fd_close_at(&s->use_fd);
        s->use_fd = -1;
        return NULL;
}

/* The certificates of one order. */
struct certificates {
        struct buf x509, ssh;
        char serial[CERT_SERIAL_HEX_SIZE];
};

static void certificates_release(struct certificates *c)
{
        buf_release(&c->x509);
        buf_release(&c->ssh);
}

/* The serial of the SSH certificate is the first half of the X.509 serial, so that one search finds both. */
static struct str ssh_serial_hex(const struct certificates *c)
{
        return str_slice(str_of(c->serial), 0, CERT_SERIAL_HEX_SIZE / 2);
}

static uint64_t ssh_serial(const struct certificates *c)
{
        char half[CERT_SERIAL_HEX_SIZE / 2 + 1] = { 0 };

        memcpy(half, c->serial, sizeof half - 1);
        return strtoull(half, NULL, 16);
}

/* The CA that signs for clients, or for servers. */
static struct authority *signing(struct signer *s, enum authority_type type, bool is_server)
{
        return rotations_signing(&s->rotations, &s->authorities, type, is_server);
}

/* The facts on which the policy of a request to this CA is checked. */
static struct policy_facts facts_about(const struct signer *s, const struct authority *ca)
{
        return (struct policy_facts){
                .cluster = buf_str(&s->authorities.cluster),
                .now = clock_wall(clock_system()),
                .ca_times = ca->x509 == NULL ? (struct cert_times){ { 0 }, { 0 } } : x509_ca_times(ca->x509),
                .own_keys = s->authorities.own_keys,
                .own_key_count = s->authorities.own_key_count,
        };
}

/* Logs the X.509 certificate of an order and its SSH certificate, if there is one, with their kinds and serials. */
static struct error *record(struct signer *s, const struct issued_order *about, struct walltime now, const struct certificates *c,
                            struct issued x509, struct issued ssh)
{
        struct issued both[] = { x509, ssh };

        both[0].kind = "x509";
        both[0].serial = str_of(c->serial);
        both[1].kind = "ssh";
        both[1].serial = ssh_serial_hex(c);
        return issued_log_add(&s->log, about, now, both, str_is_empty(ssh.key) ? 1 : 2);
}

/* ---- hosts */

/*
 * Services of the cluster are servers in TLS; other hosts connect to them. A join gets a certificate by the same CA as a server: a
 * host with ca_pin may know only that one. It learns the other one from auth and renews its certificate at once.
 */
static bool is_signed_as_server(const Cteleport__Internal__V1__HostCertRequest *request)
{
        const struct service_row *service = services_of_role(str_of(request->role));

        if (strcmp(request->reason, "join") == 0)
                return true;
        return service != NULL && (service->certificate & SERVICE_CERT_CLUSTER) != 0;
}

static struct error *issue_host(const struct authority *tls, const struct authority *ssh, const struct policy_order *order, struct certificates *ret)
{
        TRY(x509_issue_host(tls->x509, &order->x509, order->tls_public_key, order->times, &ret->x509, ret->serial));
        if (str_is_empty(order->ssh_public_key))
                return NULL;
        return ssh_issue_host(ssh->ssh, &order->ssh, order->ssh_public_key, ssh_serial(ret), order->times, &ret->ssh);
}

static struct error *record_host(struct signer *s, const Cteleport__Internal__V1__HostCertRequest *request,
                                 const struct policy_order *order, struct walltime now, const struct certificates *c)
{
        const struct issued_order about = {
                .host_id = order->ssh.key_id,
                .node_name = str_of(request->node_name),
                .role = order->x509.role,
                .roles = order->x509.system_roles,
                .role_count = order->x509.system_role_count,
                .reason = request->reason,
                .times = order->times,
        };
        const struct issued x509 = {
                .key = order->tls_public_key,
                .names = order->x509.dns_names,
                .name_count = order->x509.dns_name_count,
                .more_names = order->x509.ip_addresses,
                .more_name_count = order->x509.ip_address_count,
        };
        const struct issued ssh = {
                .key = order->ssh_public_key,
                .names = order->ssh.principals,
                .name_count = order->ssh.principal_count,
        };

        return record(s, &about, now, c, x509, ssh);
}

static struct error *answer_host(struct signer *s, struct arena *a, const ProtobufCMessage *message,
                                 ProtobufCMessage **ret)
{
        const Cteleport__Internal__V1__HostCertRequest *request = (const void *)message;
        const struct authority *ca = signing(s, AUTHORITY_HOST, is_signed_as_server(request)), *ssh = signing(s, AUTHORITY_HOST, true);
        const struct policy_facts facts = facts_about(s, ca);
        AUTO(certificates) certs = { .x509 = BUF_MAX(CERT_MAX), .ssh = BUF_MAX(CERT_MAX) };
        struct policy_order order;

        TRY(policy_check(a, &facts, request, &order));
        TRY(note_use(s));
        TRY(issue_host(ca, ssh, &order, &certs));
        TRY(record_host(s, request, &order, facts.now, &certs));

        Cteleport__Internal__V1__HostCerts *answer = arena_alloc(a, sizeof(*answer));
        cteleport__internal__v1__host_certs__init(answer);
        answer->tls_cert = binary(a, buf_str(&certs.x509));
        answer->ssh_cert = binary(a, buf_str(&certs.ssh));
        answer->not_before = walltime_unix(order.times.not_before);
        answer->not_after = walltime_unix(order.times.not_after);
        answer->serial = text(a, str_of(certs.serial));
        *ret = &answer->base;
        return NULL;
}

/* ---- users */

static struct error *issue_user(const struct authority *user, const struct user_order *order, struct certificates *ret)
{
        TRY(x509_issue_user(user->x509, &order->x509, order->tls_public_key, order->times, &ret->x509, ret->serial));
        if (str_is_empty(order->ssh_public_key))
                return NULL; /* of a web session */
        return ssh_issue_user(user->ssh, &order->ssh, order->ssh_public_key, ssh_serial(ret), order->times, &ret->ssh);
}

static struct error *record_user(struct signer *s, const Cteleport__Internal__V1__UserCertRequest *request,
                                 const struct user_order *order, struct walltime now, const struct certificates *c)
{
        const struct issued_order about = {
                .user = order->x509.user,
                .roles = order->x509.roles,
                .role_count = order->x509.role_count,
                .reason = request->reason,
                .times = order->times,
        };
        const struct issued x509 = {
                .key = order->tls_public_key,
                .names = order->x509.logins,
                .name_count = order->x509.login_count,
        };
        const struct issued ssh = {
                .key = order->ssh_public_key,
                .names = order->ssh.principals,
                .name_count = order->ssh.principal_count,
        };

        return record(s, &about, now, c, x509, ssh);
}

static struct error *answer_user(struct signer *s, struct arena *a, const ProtobufCMessage *message,
                                 ProtobufCMessage **ret)
{
        const Cteleport__Internal__V1__UserCertRequest *request = (const void *)message;
        const struct authority *ca = signing(s, AUTHORITY_USER, false);
        const struct policy_facts facts = facts_about(s, ca);
        AUTO(certificates) certs = { .x509 = BUF_MAX(CERT_MAX), .ssh = BUF_MAX(CERT_MAX) };
        struct user_order order;

        TRY(policy_check_user(a, &facts, request, &order));
        TRY(note_use(s));
        TRY(issue_user(ca, &order, &certs));
        TRY(record_user(s, request, &order, facts.now, &certs));

        Cteleport__Internal__V1__UserCerts *answer = arena_alloc(a, sizeof(*answer));
        cteleport__internal__v1__user_certs__init(answer);
        answer->tls_cert = binary(a, buf_str(&certs.x509));
        answer->ssh_cert = binary(a, buf_str(&certs.ssh));
        answer->not_before = walltime_unix(order.times.not_before);
        answer->not_after = walltime_unix(order.times.not_after);
        answer->tls_serial = text(a, str_of(certs.serial));
        answer->ssh_serial = pb_text(arena_printf(a, "%llu", (unsigned long long)ssh_serial(&certs)));
        *ret = &answer->base;
        return NULL;
}

/* ---- tokens for applications */

/*
 * A token is not logged, unlike a certificate: it opens nothing in the cluster and is void after minutes, and the lines of tokens would
 * drive those of certificates out of the archive.
 */
static struct error *answer_app_token(struct signer *s, struct arena *a, const ProtobufCMessage *message, ProtobufCMessage **ret)
{
        const struct authority *ca = signing(s, AUTHORITY_JWT, false);
        const struct policy_facts facts = facts_about(s, ca);
        AUTO(buf) signed_token = BUF_MAX(LIMIT_APP_TOKEN);
        struct app_token token;

        if (!authority_exists(ca))
                return error_new(ERROR_FAILED_PRECONDITION, "there is no CA for tokens of applications yet");
        TRY(policy_check_token(a, &facts, (const Cteleport__Internal__V1__AppTokenRequest *)message, &token));
        TRY(note_use(s));
        TRY(app_token_sign(&token, &ca->jwt, buf_str(&ca->jwt_id), &signed_token));

        Cteleport__Internal__V1__AppToken *answer = arena_alloc(a, sizeof *answer);
        cteleport__internal__v1__app_token__init(answer);
        answer->token = text(a, buf_str(&signed_token));
        answer->not_after = walltime_unix(token.not_after);
        *ret = &answer->base;
        return NULL;
}

/* ---- lists of revoked certificates */

enum { CRL_LIFE_DAYS = 365 };

/* From now for a year, or until the CA ends. */
static struct error *issue_crl(const struct authority *from, struct buf *out)
{
        struct walltime now = clock_wall(clock_system());
        struct cert_times ca = x509_ca_times(from->x509), times = { now, walltime_add(now, HOURS(24 * CRL_LIFE_DAYS)) };

        if (times.not_after.ns > ca.not_after.ns)
                times.not_after = ca.not_after;
        return x509_issue_crl(from->x509, times, (uint64_t)now.ns, out);
}

static struct error *add_crl(struct arena *a, const struct authority *from, Cteleport__Internal__V1__Crls *answer)
{
        AUTO(buf) der = BUF_MAX(CERT_MAX);

        if (from->x509 == NULL)
                return NULL;
        TRY(issue_crl(from, &der));
        answer->crls[answer->n_crls++] = binary(a, buf_str(&der));
        return NULL;
}

static struct error *answer_crl(struct signer *s, struct arena *a, const ProtobufCMessage *message, ProtobufCMessage **ret)
{
        const Cteleport__Internal__V1__CrlRequest *request = (const void *)message;
        Cteleport__Internal__V1__Crls *answer = arena_alloc(a, sizeof *answer);
        enum authority_type type;

        TRY(authority_type_get(str_of(request->type), &type));
        if (type == AUTHORITY_JWT)
                return error_new(ERROR_INVALID_ARGUMENT, "the CA jwt issues no certificates, so it has no list of revoked ones");
        TRY(note_use(s));
        cteleport__internal__v1__crls__init(answer);
        answer->crls = arena_alloc(a, 2 * sizeof *answer->crls);
        TRY(add_crl(a, &s->authorities.all[type], answer));
        TRY(add_crl(a, &s->authorities.next[type], answer));
        *ret = &answer->base;
        return NULL;
}

/* ---- rotation */

static struct error *answer_rotate(struct signer *s, struct arena *a, const ProtobufCMessage *message, ProtobufCMessage **ret)
{
        const Cteleport__Internal__V1__RotateCaRequest *request = (const void *)message;
        const struct ca_template t = template_of(s, buf_str(&s->authorities.cluster));
        enum authority_type type;
        enum ca_phase phase;

        TRY(authority_type_get(str_of(request->type), &type));
        TRY(ca_phase_get(str_of(request->phase), &phase));
        TRY(note_use(s));
        struct error *err = rotations_step(&s->rotations, &s->authorities, type, str_of(request->id), phase, &t);
        s->is_broken |= err != NULL && err->code == ERROR_DATA_LOSS;
        TRY(err);
        *ret = describe_authorities(s, a);
        return NULL;
}

/* All requests to the signer. No verb signs raw bytes, and no verb returns a private key. */
static const struct verb_row {
        uint16_t verb;
        const ProtobufCMessageDescriptor *request;
        bool works_without_ca;
        struct error *(*answer)(struct signer *s, struct arena *a, const ProtobufCMessage *request,
                                ProtobufCMessage **ret);
} verbs[] = {
        { CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_AUTHORITIES,
          &cteleport__internal__v1__authorities_request__descriptor, .works_without_ca = true,
          .answer = answer_authorities },
        { CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &cteleport__internal__v1__host_cert_request__descriptor,
          .answer = answer_host },
        { CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_USER, &cteleport__internal__v1__user_cert_request__descriptor,
          .answer = answer_user },
        { CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_CRL, &cteleport__internal__v1__crl_request__descriptor, .answer = answer_crl },
        { CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_ROTATE, &cteleport__internal__v1__rotate_ca_request__descriptor, .answer = answer_rotate },
        { CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_APP_TOKEN, &cteleport__internal__v1__app_token_request__descriptor,
          .answer = answer_app_token },
};

/*
 * ---- the loop
 * -----------------------------------------------------------------------------------------------------
 */

static struct error *answer(struct signer *s, struct arena *a, const struct link_request *request,
                            ProtobufCMessage **ret)
{
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
                ProtobufCMessage *message = NULL;

                if (request->verb != verbs[i].verb)
                        continue;
                if (!s->is_open && !verbs[i].works_without_ca)
                        return error_new(ERROR_FAILED_PRECONDITION, "there is no CA yet");
                TRY(wire_decode(a, verbs[i].request, request->body, &message));
                return verbs[i].answer(s, a, message, ret);
        }
        return error_new(ERROR_UNIMPLEMENTED, "the signer has no verb %u", request->verb);
}

/* A request with its answer or refusal, which is sent when the lines of the log are durable. */
struct pending {
        uint32_t id;
        uint16_t verb;
        struct arena *arena;
        ProtobufCMessage *message;
        struct error *refusal;
};

struct batch {
        struct pending all[LIMIT_SIGNER_BATCH];
        size_t count;
};

static void batch_release(struct batch *b)
{
        for (size_t i = 0; i < b->count; i++) {
                arena_free(b->all[i].arena);
                error_free(b->all[i].refusal);
        }
        b->count = 0;
}

/* Sends the answer or the refusal; an error of this function ends the process. */
static struct error *send_answer(struct link_server *link, const struct pending *p)
{
        if (p->refusal == NULL)
                return link_server_answer(link, p->id, p->message);
        log_warn("request refused", LOG_INT("verb", p->verb), LOG_ERR(p->refusal));
        return link_server_refuse(link, p->id, p->refusal);
}

/*
 * Makes the log lines of a batch durable, then sends its certificates. If the write fails, no certificate of the batch is
 * sent, whichever line caused the failure.
 */
static struct error *finish(struct signer *s, struct link_server *link, struct batch *b)
{
        AUTO_PTR(error) unwritten = issued_log_commit(&s->log);

        for (size_t i = 0; i < b->count; i++) {
                struct pending *p = &b->all[i];

                if (unwritten != NULL && p->refusal == NULL)
                        p->refusal = error_copy(unwritten);
                TRY(send_answer(link, p));
        }
        TRY(link_server_flush(link));
        if (unwritten != NULL && unwritten->code == ERROR_DATA_LOSS)
                return error_copy(unwritten);
        /* The request that set is_broken is the last of the batch. */
        return s->is_broken && b->count > 0 && b->all[b->count - 1].refusal != NULL ? error_copy(b->all[b->count - 1].refusal) : NULL;
}

/* Waits for a request, handles all requests that have arrived, and answers them together. */
static struct error *serve_batch(struct signer *s, struct link_server *link, struct batch *b, bool *ret_end)
{
        do {
                struct link_request request;

                TRY(link_server_next(link, &request, ret_end));
                struct pending *p = &b->all[b->count++];
                *p = (struct pending){ .id = request.id, .verb = request.verb, .arena = arena_new(REQUEST_ARENA) };
                p->refusal = answer(s, p->arena, &request, &p->message);
        } while (!s->is_broken && b->count < ARRAY_LEN(b->all) && s->log.lines.len < ISSUED_LOG_BATCH && link_server_has_next(link));
        return finish(s, link, b);
}

static struct error *serve(struct signer *s, struct link_server *link)
{
        for (;;) {
                struct batch b = { .count = 0 };
                bool is_end = false;
                struct error *err = serve_batch(s, link, &b, &is_end);

                batch_release(&b);
                if (err == NULL && s->is_open)
                        err = issued_log_rotate(&s->log); /* after the answers, which it must not delay */
                if (err == NULL)
                        continue;
                if (!is_end && err->code != ERROR_UNAVAILABLE) /* auth may end before it reads the answer */
                        return err;
                error_free(err);
                return NULL;
        }
}

struct error *signer_main(const char *data_dir, enum key_kind token_key, int fd, void (*ready)(void *ctx), void *ctx)
{
        struct link_server *link = link_server_new(fd);
        struct signer s = { .data_dir = data_dir, .token_key = token_key, .use_fd = -1 };

        signal(SIGPIPE, SIG_IGN); /* auth may close the link during an answer */
        prepare_openssl();
        struct error *err = open_ca(&s);
        if (err == NULL) {
                ready(ctx);
                err = serve(&s, link);
        }
        authorities_release(&s.authorities);
        rotations_release(&s.rotations);
        issued_log_release(&s.log);
        fd_close_at(&s.use_fd);
        link_server_free(link);
        return err;
}
