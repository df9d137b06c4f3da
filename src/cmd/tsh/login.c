/* SPDX-License-Identifier: Apache-2.0 */
/* tsh login: exchanges a password and a one-time code for certificates. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/find_proxy.h"
#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "cmd/common/prompt.h"
#include "cmd/tsh/show.h"
#include "net/socket.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "pki/key.h"
#include "rpc/pb.h"

enum { CAS_MAX = 16, KEY_TEXT_MAX = 4 * KiB };

const struct flag login_flags[] = {
        { "ca-pin", .kind = FLAG_LIST, .value = "FINGERPRINT",
          .help = "CA of the cluster to trust, from an administrator: sha256:… (tctl status), SHA256:… of SSH" },
        { "browser", .kind = FLAG_TEXT, .value = "PROGRAM", .is_hidden = true, .help = "None is needed" },
        { NULL },
};

const struct argument login_arguments[] = {
        { "cluster", .help = "Require that the cluster has this name" },
        { NULL },
};

/* Input and result of a login; released together. */
struct login {
        struct arena *arena;
        const char *web_addr, *user;
        struct key tls, ssh;
        struct secret tls_pem, ssh_text;
        struct buf tls_der, ssh_wire; /* public halves */
};

static void login_release(struct login *l)
{
        key_release(&l->tls);
        key_release(&l->ssh);
        secret_release(&l->tls_pem);
        secret_release(&l->ssh_text);
        buf_release(&l->tls_der);
        buf_release(&l->ssh_wire);
        arena_free(l->arena);
}

/* ---- user, proxy and pins -------------------------------------------------------------------------------------- */

/* Takes the proxy and the user from the flags, else from the current profile. */
static struct error *whom_and_where(struct login *l, const struct flags *given)
{
        AUTO(profile) before = { 0 };
        const char *proxy = NULL, *user = flags_text(given, "user");
        const struct passwd *local = getpwuid(getuid());

        TRY(profile_check_place());
        TRY(user_proxy(l->arena, given, &proxy));
        error_free(profile_find(&before, proxy, NULL));
        if (proxy == NULL && before.web_addr == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "no proxy is given"),
                                  "tsh login --proxy=HOST[:PORT] --user=NAME");
        if (proxy == NULL)
                proxy = arena_printf(l->arena, "%s", before.web_addr);
        if (user == NULL && before.user != NULL)
                user = before.user;
        if (user == NULL && local != NULL)
                user = local->pw_name;
        if (user == NULL || !name_is_user(str_of(user)))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "the name of the user is missing, or cannot be one"),
                                  "tsh login --proxy=%s --user=NAME", proxy);
        l->user = arena_printf(l->arena, "%s", user);
        return find_proxy(l->arena, proxy, flags_switch(given, "insecure"), &l->web_addr);
}

/* Checked before the password prompt: a mistyped pin is an error. */
static struct error *check_pins(const char *const *pins)
{
        for (; pins != NULL && *pins != NULL; pins++) {
                struct str pin = str_of(*pins);

                if (!(str_starts_with(pin, STR("sha256:")) && pin.len == 7 + 64) && !(str_starts_with(pin, STR("SHA256:")) && pin.len == 7 + 43))
                        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--ca-pin is no fingerprint"),
                                          "sha256: and 64 hexadecimal digits, or SHA256: and 43 characters as ssh-keygen -l prints them");
        }
        return NULL;
}

static struct error *make_keys(struct login *l)
{
        l->tls_der = BUF_MAX(KEY_TEXT_MAX);
        l->ssh_wire = BUF_MAX(KEY_TEXT_MAX);
        TRY(key_generate(&l->tls, KEY_ECDSA_P256));
        TRY(key_generate(&l->ssh, KEY_ED25519));
        TRY(key_to_pem(&l->tls, &l->tls_pem));
        TRY(key_to_openssh(&l->ssh, str_of(l->user), &l->ssh_text));
        TRY(key_public_der(&l->tls, &l->tls_der));
        return key_public_ssh(&l->ssh, &l->ssh_wire);
}

static struct error *read_ttl(const struct flags *given, int64_t *ret_seconds)
{
        enum { MINUTES_MAX = 30 * 60, SECONDS_A_MINUTE = 60 };
        int64_t minutes = 0;

        if (flags_text(given, "ttl") != NULL)
                TRY(parse_int(str_of(flags_text(given, "ttl")), 1, MINUTES_MAX, "--ttl (minutes)", &minutes));
        *ret_seconds = minutes * SECONDS_A_MINUTE;
        return NULL;
}

/* ---- the request ----------------------------------------------------------------------------------------------- */

static struct error *send_request(struct login *l, struct api_client *a, int64_t ttl, Cteleport__V1__LoginResponse **ret)
{
        Cteleport__V1__LoginRequest request = CTELEPORT__V1__LOGIN_REQUEST__INIT;
        AUTO(secret) password = { 0 }, otp = { 0 };
        AUTO_MEM char *query = mem_printf("Enter password for Teleport user %s:\n", l->user);
        ProtobufCMessage *answer = NULL;

        TRY(api_client_connect(a)); /* before the password prompt */
        TRY(prompt_secret(query, &password));
        TRY(prompt_secret("Enter an OTP code from a device:\n", &otp));
        if (str_find_char(secret_str(&password), '\0') < password.len || !text_is_utf8(secret_str(&password)) ||
            str_find_char(secret_str(&otp), '\0') < otp.len || !text_is_utf8(secret_str(&otp)))
                return error_new(ERROR_INVALID_ARGUMENT, "password or code are not text");
        request.user = pb_text(l->user);
        request.password = password.ptr;
        request.otp = otp.ptr;
        request.ttl_seconds = ttl;
        request.public_tls_key = (ProtobufCBinaryData){ l->tls_der.len, (uint8_t *)l->tls_der.ptr };
        request.public_ssh_key = (ProtobufCBinaryData){ l->ssh_wire.len, (uint8_t *)l->ssh_wire.ptr };
        TRY(api_client_request(a, "/cteleport.v1.LoginService/Login", &request.base, &cteleport__v1__login_response__descriptor, &answer));
        *ret = (Cteleport__V1__LoginResponse *)(void *)answer;
        return NULL;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static struct str bytes_of(ProtobufCBinaryData data)
{
        return pb_str(data);
}

static struct error *not_for_us(const char *what)
{
        return error_new(ERROR_DATA_LOSS, "the cluster answered with %s", what);
}

/* Checks the keys and names in the certificates. Their user CA is not known here. */
static struct error *check_answer(const struct login *l, const Cteleport__V1__LoginResponse *r)
{
        AUTO_PTR(arena) a = arena_new((size_t)2 * CERT_READ_ARENA);
        struct cert_info x509;
        struct ssh_cert_info ssh;

        if (!name_is_host(str_of(r->cluster)))
                return not_for_us("a cluster that has no name, or one that cannot be");
        TRY(cert_read(a, bytes_of(r->tls_cert), &x509));
        TRY(cert_check_key(bytes_of(r->tls_cert), &l->tls));
        TRY(ssh_cert_read(a, bytes_of(r->ssh_cert), &ssh));
        if (!x509.is_user || !str_equal(x509.common_name, str_of(l->user)) || !str_equal(x509.cluster, str_of(r->cluster)))
                return not_for_us("a certificate for another user");
        if (ssh.kind != SSH_CERT_USER || !str_equal(ssh.key_id, str_of(l->user)) ||
            !str_equal(ssh.public_key, buf_str(&l->ssh_wire)))
                return not_for_us("an SSH certificate for another user");
        if (r->n_tls_ca_certs == 0 || r->n_tls_ca_certs > CAS_MAX || r->n_ssh_ca_keys == 0 || r->n_ssh_ca_keys > CAS_MAX)
                return not_for_us("no CA of its hosts, or too many");
        for (size_t i = 0; i < r->n_tls_ca_certs; i++) {
                struct cert_info ca;

                TRY(cert_read(a, bytes_of(r->tls_ca_certs[i]), &ca));
                if (!ca.is_ca)
                        return not_for_us("a CA that is none");
        }
        return NULL;
}

/* ---- a rotation of the cluster's CAs ---------------------------------------------------------------------------- */

/*
 * The CAs that the Auth Service names on a connection that the CAs of the former login verify, from end to end; NULL-terminated. The
 * proxy of the login cannot add one.
 */
static struct error *find_successors(const struct login *l, const char *cluster, const char ***ret)
{
        AUTO(profile) known = { 0 };
        AUTO(api_client) a = { 0 };
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;
        ProtobufCMessage *answer = NULL;
        size_t count = 0;

        TRY(profile_find(&known, l->web_addr, l->user));
        if (strcmp(known.cluster, cluster) != 0)
                return error_new(ERROR_FAILED_PRECONDITION, "the former login was at another cluster");
        TRY(api_client_open_unauthenticated(&a, &known));
        TRY(api_client_request(&a, "/cteleport.v1.PingService/Ping", &empty.base, &cteleport__v1__ping_response__descriptor, &answer));
        const Cteleport__V1__PingResponse *named = (Cteleport__V1__PingResponse *)(void *)answer;
        if (named->n_tls_ca_certs > CAS_MAX || named->n_ssh_ca_keys > CAS_MAX)
                return not_for_us("too many CAs");
        const char **pins = arena_alloc(l->arena, (named->n_tls_ca_certs + named->n_ssh_ca_keys + 1) * sizeof *pins);
        for (size_t i = 0; i < named->n_tls_ca_certs; i++)
                TRY(profile_tls_pin(l->arena, bytes_of(named->tls_ca_certs[i]), &pins[count++]));
        for (size_t i = 0; i < named->n_ssh_ca_keys; i++)
                TRY(profile_ssh_pin(l->arena, bytes_of(named->ssh_ca_keys[i]), &pins[count++]));
        pins[count] = NULL;
        *ret = pins;
        return NULL;
}

/* A CA that is new to this workstation is trusted if the Auth Service names it. */
static struct error *check_trust(const struct login *l, const struct profile_login *kept, const char *const *pins)
{
        struct error *refusal = profile_check_trust(kept, pins);
        const char **successors = NULL;

        if (refusal == NULL || refusal->code != ERROR_UNAUTHENTICATED || pins[0] != NULL)
                return refusal;
        AUTO_PTR(error) err = find_successors(l, kept->cluster, &successors);
        if (err == NULL)
                err = profile_check_trust(kept, successors);
        if (err != NULL)
                return refusal;
        error_free(refusal);
        return NULL;
}

static struct error *store(const struct login *l, const Cteleport__V1__LoginResponse *r, bool is_insecure, const char *const *pins)
{
        struct str tls_cas[CAS_MAX], ssh_cas[CAS_MAX];

        for (size_t i = 0; i < r->n_tls_ca_certs; i++)
                tls_cas[i] = bytes_of(r->tls_ca_certs[i]);
        for (size_t i = 0; i < r->n_ssh_ca_keys; i++)
                ssh_cas[i] = bytes_of(r->ssh_ca_keys[i]);
        struct profile_login kept = {
                .web_addr = l->web_addr,
                .user = l->user,
                .cluster = r->cluster,
                .is_insecure = is_insecure,
                .ssh_key = &l->ssh_text,
                .tls_key = &l->tls_pem,
                .ssh_public = buf_str(&l->ssh_wire),
                .ssh_cert = bytes_of(r->ssh_cert),
                .tls_cert = bytes_of(r->tls_cert),
                .tls_cas = tls_cas,
                .tls_ca_count = r->n_tls_ca_certs,
                .ssh_cas = ssh_cas,
                .ssh_ca_count = r->n_ssh_ca_keys,
        };
        TRY(check_trust(l, &kept, pins));
        return profile_store(&kept);
}

static struct error *check_cluster(const struct flags *given, const char *cluster)
{
        const char *wanted = flags_argument(given, 0) != NULL ? flags_argument(given, 0) : flags_text(given, "cluster");

        if (wanted == NULL || strcmp(wanted, cluster) == 0)
                return NULL;
        AUTO_MEM char *shown = escaped(str_of(wanted));
        return error_hint(error_new(ERROR_NOT_FOUND, "the cluster behind this proxy is %s, not '%s'", cluster, shown),
                          "name the proxy of that cluster: tsh login --proxy=HOST[:PORT]");
}

struct error *login_run(void *ctx, const struct flags *given)
{
        AUTO(login) l = { .arena = arena_new(64 * KiB) };
        AUTO(api_client) a = { 0 };
        AUTO(profile) p = { 0 };
        AUTO(buf) out = BUF_MAX(64 * KiB);
        Cteleport__V1__LoginResponse *answer = NULL;
        bool is_insecure = flags_switch(given, "insecure");
        int64_t ttl;

        (void)ctx;
        TRY(read_ttl(given, &ttl));
        TRY(whom_and_where(&l, given));
        TRY(check_pins(flags_list(given, "ca-pin")));
        if (is_insecure)
                fprintf(stderr, "WARNING: the proxy's certificate is not verified; any server that answers gets password and code.\n");
        TRY(make_keys(&l));
        TRY(api_client_open_proxy(&a, l.web_addr, is_insecure));
        TRY(send_request(&l, &a, ttl, &answer));
        TRY(check_answer(&l, answer));
        TRY(check_cluster(given, answer->cluster));
        TRY(store(&l, answer, is_insecure, flags_list(given, "ca-pin")));
        TRY(profile_load(&p, l.web_addr, l.user));
        show_profile(&out, &p, clock_wall(clock_system()), true);
        return output_flush(&out);
}
