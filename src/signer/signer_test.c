/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer as auth sees it: a process at the other end of a socketpair.
 */
#include "signer/signer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "os/file.h"
#include "pki/cert_check.h"
#include "pki/pki_testing.h"
#include "rpc/link.h"
#include "rpc/wire.h"
#include "signer/authorities.h"
#include "signer/issued_log.h"
#include "signer/signer_testing.h"

static struct error *request_renewal(struct fixture *f, const char *role)
{
        Cteleport__Internal__V1__HostCertRequest r = host_request(f, role);

        r.reason = pb_text("renew");
        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &r.base, &cteleport__internal__v1__host_certs__descriptor);
}

static struct error *request_user(struct fixture *f, const char *user, const char *login)
{
        Cteleport__Internal__V1__UserCertRequest r = CTELEPORT__INTERNAL__V1__USER_CERT_REQUEST__INIT;
        char *roles[] = { pb_text("access") }, *logins[] = { pb_text(login) };

        r.user = pb_text(user);
        r.roles = roles;
        r.n_roles = 1;
        r.logins = logins;
        r.n_logins = login == NULL ? 0 : 1;
        r.permit_port_forwarding = true;
        r.reason = pb_text("login");
        r.ttl_seconds = 3600;
        r.tls_public_key = (ProtobufCBinaryData){ .len = f->tls.len, .data = (uint8_t *)f->tls.ptr };
        r.ssh_public_key = (ProtobufCBinaryData){ .len = f->ssh.len, .data = (uint8_t *)f->ssh.ptr };
        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_USER, &r.base,
                     &cteleport__internal__v1__user_certs__descriptor);
}

static char *file_in_ca(const struct fixture *f, const char *name)
{
        return mem_printf("%s/ca/%s", f->dir, name);
}

static void issued_log_of(const struct fixture *f, struct buf *out)
{
        AUTO_MEM char *path = file_in_ca(f, "issued.log");

        assert_done(file_read(path, out));
}

/* A CA that is in use: from now on it writes only its log of certificates. */
static void given_ca_in_use(struct fixture *f)
{
        AUTO_MEM char *note = file_in_ca(f, "in-use");

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(ended(f), 0);
        assert_int_equal(unlink(note), 0);
        disk->syncs = 0;
        given_signer(f);
}

/* ---- the life of a CA ------------------------------------------------------------------------------------- */

static void makes_a_ca_at_the_first_start_and_keeps_it(void **state)
{
        struct fixture *f = *state;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        ProtobufCBinaryData first = host_authority(f)->tls_certs[0];
        assert_int_equal(ended(f), 0);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", false));
        ProtobufCBinaryData second = host_authority(f)->tls_certs[0];
        assert_true(str_equal(pb_str(first), pb_str(second)));
        assert_done(request_authorities(f, "example.com", true)); /* leave to create is no order to */
        second = host_authority(f)->tls_certs[0];
        assert_true(str_equal(pb_str(first), pb_str(second)));
        assert_int_equal(ended(f), 0);
}

static void makes_no_ca_for_a_cluster_that_had_one(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *ca = mem_printf("%s/ca", f->dir);

        given_signer(f);
        assert_refused(request_authorities(f, "example.com", false), ERROR_FAILED_PRECONDITION, "its CA is gone");
        assert_refused(request_host(f, "Node"), ERROR_FAILED_PRECONDITION, "no CA yet");
        assert_int_not_equal(access(ca, F_OK), 0);
}

static void begins_no_new_cluster_with_a_ca_in_use(void **state)
{
        struct fixture *f = *state;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(ended(f), 0);
        assert_false(authorities_are_in_use(f->dir));

        given_signer(f); /* an interrupted first start continues */
        assert_done(request_authorities(f, "example.com", true));
        assert_done(request_host(f, "Node"));
        assert_true(authorities_are_in_use(f->dir));
        assert_refused(request_authorities(f, "example.com", true), ERROR_FAILED_PRECONDITION, "is in use");
        assert_int_equal(ended(f), 0);

        given_signer(f);
        assert_refused(request_authorities(f, "example.com", true), ERROR_FAILED_PRECONDITION, "is in use");
        assert_done(request_authorities(f, "example.com", false));
}

/* A directory of an earlier release has no marker; an emptied or rotated log of certificates proves nothing. */
static void takes_a_ca_that_does_not_say_for_one_in_use(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *note = file_in_ca(f, "in-use");

        assert_false(authorities_are_in_use(f->dir));
        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(ended(f), 0);
        assert_int_equal(unlink(note), 0);
        assert_true(authorities_are_in_use(f->dir));
        given_signer(f);
        assert_refused(request_authorities(f, "example.com", true), ERROR_FAILED_PRECONDITION, "is in use");
}

static void serves_no_other_cluster_than_its_own(void **state)
{
        struct fixture *f = *state;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_refused(request_authorities(f, "example.org", true), ERROR_FAILED_PRECONDITION,
                       "of cluster 'example.com'");
}

static void does_not_start_with_a_ca_that_is_damaged(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *key = file_in_ca(f, "host.tls.key.pem");

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(ended(f), 0);
        assert_int_equal(unlink(key), 0);
        given_signer(f);
        assert_refused(request_authorities(f, "example.com", true), ERROR_UNAVAILABLE, "");
        assert_int_equal(ended(f), 1);
}

/* ---- certificates ------------------------------------------------------------------------------------------- */

static void certifies_a_host_and_records_it_first(void **state)
{
        struct fixture *f = *state;
        struct cert_info info;
        struct ssh_cert_info ssh;
        AUTO(buf) log = BUF_MAX(64 * KiB);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        ProtobufCBinaryData ca_key = host_authority(f)->ssh_keys[0];
        assert_done(request_host(f, "Node"));
        const Cteleport__Internal__V1__HostCerts *certs = (const void *)f->answer;
        assert_done(cert_read(f->arena, pb_str(certs->tls_cert), &info));
        assert_str(info.host_id, HOST_ID);
        assert_str(info.role, "Node");
        assert_str(info.serial_hex, certs->serial);
        assert_int_equal(walltime_unix(info.times.not_after), certs->not_after);
        assert_int_equal(certs->not_after - certs->not_before, 3600 + LIMIT_CERT_BACKDATE_SECONDS);
        assert_done(ssh_cert_read(f->arena, pb_str(certs->ssh_cert), &ssh));
        assert_str(ssh.key_id, HOST_ID);
        assert_true(str_equal(ssh.ca_key, pb_str(ca_key)));
        assert_int_equal(ssh.valid_before, certs->not_after);

        issued_log_of(f, &log);
        struct str rest = buf_str(&log);
        struct str x509_line = str_split(&rest, '\n'), ssh_line = str_split(&rest, '\n');
        assert_true(str_is_empty(rest));
        assert_true(str_contains(x509_line, STR("\"kind\":\"x509\"")));
        assert_true(str_contains(x509_line, str_of(certs->serial)));
        assert_true(str_contains(x509_line, STR("\"host_id\":\"" HOST_ID
                                                "\",\"node_name\":\"web-1\",\"role\":\"Node\",\"reason\":\"join\"")));
        assert_true(str_contains(ssh_line, STR("\"kind\":\"ssh\"")));
        assert_true(str_contains(ssh_line, STR("\"" HOST_ID ".example.com\",\"" HOST_ID "\",\"web-1.example.com\",\"web-1\"]")));
        AUTO(buf) serial = BUF_MAX(64);
        buf_printf(&serial, "\"serial\":\"%016llx\"", (unsigned long long)ssh.serial);
        assert_true(str_contains(ssh_line, buf_str(&serial)));
}

static void certifies_a_user_with_the_user_ca_only(void **state)
{
        struct fixture *f = *state;
        struct cert_info info;
        struct ssh_cert_info ssh;
        AUTO(buf) log = BUF_MAX(64 * KiB);
        AUTO(buf) serial = BUF_MAX(64);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        const Cteleport__Internal__V1__Authority *host = host_authority(f);
        const Cteleport__Internal__V1__Authority *user =
                ((const Cteleport__Internal__V1__Authorities *)(const void *)f->answer)->authorities[1];
        assert_done(request_user(f, "alice", "root"));
        const Cteleport__Internal__V1__UserCerts *certs = (const void *)f->answer;
        const struct str tls = pb_str(certs->tls_cert);
        assert_done(cert_read(f->arena, tls, &info));
        assert_true(info.is_user);
        assert_str(info.common_name, "alice");
        assert_str(info.roles[0], "access");
        assert_str(info.serial_hex, certs->tls_serial);
        assert_int_equal(certs->not_after - certs->not_before, 3600 + LIMIT_CERT_BACKDATE_SECONDS);
        assert_done(cert_check_issuer(tls, pb_str(user->tls_certs[0])));
        assert_refused(cert_check_issuer(tls, pb_str(host->tls_certs[0])),
                       ERROR_UNAUTHENTICATED, "");
        assert_done(ssh_cert_read(f->arena, pb_str(certs->ssh_cert), &ssh));
        assert_int_equal(ssh.kind, SSH_CERT_USER);
        assert_str(ssh.principals[0], "root");
        assert_true(ssh_cert_permits(&ssh, STR("permit-pty")));
        assert_true(ssh_cert_permits(&ssh, STR("permit-port-forwarding")));
        assert_false(ssh_cert_permits(&ssh, STR("permit-agent-forwarding")));
        assert_true(str_equal(ssh.ca_key, pb_str(user->ssh_keys[0])));
        buf_printf(&serial, "%llu", (unsigned long long)ssh.serial);
        assert_str(buf_str(&serial), certs->ssh_serial);

        issued_log_of(f, &log);
        struct str rest = buf_str(&log);
        struct str x509_line = str_split(&rest, '\n'), ssh_line = str_split(&rest, '\n');
        assert_true(str_is_empty(rest));
        assert_true(str_contains(x509_line, str_of(certs->tls_serial)));
        assert_true(str_contains(x509_line, STR("\"user\":\"alice\",\"reason\":\"login\"")));
        assert_true(str_contains(ssh_line, STR("\"roles\":[\"access\"],\"logins\":[\"root\"]")));

        assert_refused(request_user(f, HOST_ID, "root"), ERROR_INVALID_ARGUMENT, "not a user");
        assert_done(request_user(f, "alice", NULL));
}

static void records_nothing_when_it_refuses(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) log = BUF_MAX(64 * KiB);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_refused(request_host(f, "Admin"), ERROR_INVALID_ARGUMENT, "not a role");
        assert_refused(request_host(f, "Auth"), ERROR_PERMISSION_DENIED, "no host can join");
        issued_log_of(f, &log);
        assert_int_equal(log.len, 0);
        assert_done(request_host(f, "Node")); /* and continues */
}

static void begins_a_new_line_behind_one_that_was_torn(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = file_in_ca(f, "issued.log");
        AUTO(buf) log = BUF_MAX(64 * KiB);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(ended(f), 0);
        assert_done(file_write_atomic(path, STR("{\"time\":\"2026-"), 0600));
        given_signer(f);
        assert_done(request_host(f, "Node"));
        issued_log_of(f, &log);
        assert_true(str_starts_with(buf_str(&log), STR("{\"time\":\"2026-\n{\"time\":")));
}

static void gives_out_no_certificate_that_it_cannot_record(void **state)
{
        struct fixture *f = *state;
        struct rlimit none = { 0, RLIM_INFINITY }, before;

        given_ca_in_use(f);
        assert_int_equal(ended(f), 0);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        none.rlim_max = before.rlim_max;
        signal(SIGXFSZ, SIG_IGN); /* a file that cannot grow, as on a full disk */
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        given_signer(f);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_refused(request_host(f, "Node"), ERROR_RESOURCE_EXHAUSTED, "cannot write the log of issued certificates");
        assert_null(f->answer);
}

/* ---- durability ---------------------------------------------------------------------------------------------- */

enum { MANY = 30 };

static void count_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        unsigned *answered = ctx;

        assert_null(err);
        assert_non_null(answer);
        (*answered)++;
}

static void request_for_host(struct fixture *f, unsigned *answered)
{
        Cteleport__Internal__V1__HostCertRequest r = host_request(f, "Node");

        link_request(f->link, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &r.base,
                 &cteleport__internal__v1__host_certs__descriptor, SECONDS(30), count_answer, answered);
}

static void a_certificate_leaves_after_its_line_is_synced(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) log = BUF_MAX(64 * KiB);
        unsigned answered = 0;

        given_ca_in_use(f);
        disk->is_held = true;
        request_for_host(f, &answered);
        while (disk->syncs == 0 && answered == 0)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        assert_int_equal(answered, 0);
        issued_log_of(f, &log);
        assert_true(str_contains(buf_str(&log), STR("\"kind\":\"ssh\"")));
        disk->is_held = false;
        assert_int_equal(write(disk->gate[1], "g", 1), 1);
        while (answered == 0)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
}

static void orders_that_wait_share_a_sync(void **state)
{
        struct fixture *f = *state;
        unsigned answered = 0;

        given_ca_in_use(f);
        disk->is_held = true;
        request_for_host(f, &answered);
        while (disk->syncs == 0)
                uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        for (int i = 0; i < MANY; i++)
                request_for_host(f, &answered);
        uv_run(&f->loop.uv, UV_RUN_NOWAIT);
        disk->is_held = false;
        assert_int_equal(write(disk->gate[1], "g", 1), 1);
        while (answered < MANY + 1)
                uv_run(&f->loop.uv, UV_RUN_ONCE);
        assert_true(disk->syncs < MANY / 2);
}

static void ends_when_the_content_of_the_disk_is_unknown(void **state)
{
        struct fixture *f = *state;

        given_ca_in_use(f);
        disk->errnum = EIO;
        assert_refused(request_host(f, "Node"), ERROR_DATA_LOSS, "issued certificates");
        assert_null(f->answer);
        assert_int_equal(ended(f), 1);
}

static void removes_the_line_that_a_full_disk_cut(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) log = BUF_MAX(64 * KiB);

        given_ca_in_use(f);
        disk->errnum = ENOSPC;
        assert_refused(request_host(f, "Node"), ERROR_RESOURCE_EXHAUSTED, "issued certificates");
        issued_log_of(f, &log);
        assert_int_equal(log.len, 0);
        disk->errnum = 0;
        assert_done(request_host(f, "Node"));
}

/* ---- rotation ------------------------------------------------------------------------------------------------- */

/* Whether the last certificates of a host are signed by these CAs. */
static void assert_signed(const struct fixture *f, ProtobufCBinaryData tls_ca, ProtobufCBinaryData ssh_ca)
{
        const Cteleport__Internal__V1__HostCerts *certs = (const void *)f->answer;
        struct ssh_cert_info ssh;

        assert_done(cert_check_issuer(pb_str(certs->tls_cert), pb_str(tls_ca)));
        assert_done(ssh_cert_read(f->arena, pb_str(certs->ssh_cert), &ssh));
        assert_true(str_equal(ssh.ca_key, pb_str(ssh_ca)));
}

static void signs_clients_with_the_new_ca_before_servers(void **state)
{
        struct fixture *f = *state;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_done(request_step(f, "host", "init"));
        ProtobufCBinaryData old = host_authority(f)->tls_certs[0], old_ssh = host_authority(f)->ssh_keys[0];
        ProtobufCBinaryData new = host_authority(f)->tls_certs[1], new_ssh = host_authority(f)->ssh_keys[1];
        assert_int_equal(host_authority(f)->n_tls_certs, 2);
        assert_string_equal(host_authority(f)->phase, "init");
        assert_done(request_host(f, "Node"));
        assert_signed(f, old, old_ssh);

        assert_done(request_step(f, "host", "update_clients"));
        assert_true(str_equal(pb_str(host_authority(f)->tls_certs[0]), pb_str(old)));
        assert_done(request_renewal(f, "Node")); /* its X.509 certificate is that of a client, its SSH certificate that of a server */
        assert_signed(f, new, old_ssh);
        assert_done(request_host(f, "Node")); /* it may know the old CA only */
        assert_signed(f, old, old_ssh);
        assert_done(request_host(f, "Proxy"));
        const Cteleport__Internal__V1__HostCerts *proxy = (const void *)f->answer;
        assert_done(cert_check_issuer(pb_str(proxy->tls_cert), pb_str(old)));

        assert_done(request_step(f, "host", "update_servers"));
        assert_true(str_equal(pb_str(host_authority(f)->tls_certs[0]), pb_str(new)));
        assert_done(request_host(f, "Node"));
        assert_signed(f, new, new_ssh);
        assert_done(request_step(f, "host", "standby"));
        assert_int_equal(host_authority(f)->n_tls_certs, 1);
        assert_int_equal(ended(f), 0);

        given_signer(f); /* the sandbox did not prevent it from replacing the files */
        assert_done(request_authorities(f, "example.com", false));
        assert_true(str_equal(pb_str(host_authority(f)->tls_certs[0]), pb_str(new)));
        assert_done(request_host(f, "Node"));
        assert_signed(f, new, new_ssh);
}

static void refuses_steps_that_do_not_follow(void **state)
{
        struct fixture *f = *state;

        given_signer(f);
        assert_refused(request_step(f, "host", "init"), ERROR_FAILED_PRECONDITION, "no CA yet");
        assert_done(request_authorities(f, "example.com", true));
        assert_refused(request_step(f, "db", "init"), ERROR_INVALID_ARGUMENT, "type of CA");
        assert_refused(request_step(f, "host", "now"), ERROR_INVALID_ARGUMENT, "phase");
        assert_refused(request_step(f, "host", "update_servers"), ERROR_FAILED_PRECONDITION, "no rotation is in progress");
        assert_done(request_host(f, "Node"));
}

static void certifies_no_key_of_a_new_ca(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) wire = BUF_MAX(4 * KiB);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_done(request_step(f, "user", "init"));
        const Cteleport__Internal__V1__Authorities *all = (const void *)f->answer;
        buf_put(&wire, pb_str(all->authorities[1]->ssh_keys[1]));
        buf_clear(&f->ssh);
        buf_put(&f->ssh, buf_str(&wire));
        assert_refused(request_host(f, "Node"), ERROR_PERMISSION_DENIED, "one of the cluster's CAs");
}

/* ---- the link ------------------------------------------------------------------------------------------------- */

static void knows_no_other_verbs(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__AuthoritiesRequest r = CTELEPORT__INTERNAL__V1__AUTHORITIES_REQUEST__INIT;

        given_signer(f);
        assert_refused(requested(f, 0, &r.base, &cteleport__internal__v1__authorities__descriptor), ERROR_UNIMPLEMENTED,
                       "no verb 0");
        assert_refused(requested(f, 99, &r.base, &cteleport__internal__v1__authorities__descriptor), ERROR_UNIMPLEMENTED,
                       "no verb 99");
}

/* A request of an attacker who has taken over auth, with additional fields that this protocol does not have. */
static struct error *requested_with(struct fixture *f, const Cteleport__Internal__V1__HostCertRequest *r, const char *more, size_t len)
{
        ProtobufCMessageUnknownField unknown = { .tag = 15, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED };
        Cteleport__Internal__V1__HostCertRequest asking = *r;

        unknown.data = (uint8_t *)(uintptr_t)more;
        unknown.len = len;
        asking.base.unknown_fields = &unknown;
        asking.base.n_unknown_fields = len > 0 ? 1 : 0;
        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &asking.base, &cteleport__internal__v1__host_certs__descriptor);
}

static void assert_nothing(struct error *err)
{
        assert_non_null(err);
        error_free(err);
}

/* Extensions of CAs, and those that let a certificate stand for a server or another key. */
static void gives_a_captured_auth_nothing_beyond_the_profile(void **state)
{
        struct fixture *f = *state;
        char *of_cluster[] = { pb_text("teleport.cluster.local") }, *any[] = { pb_text("*") };
        char *name[] = { pb_text("example.com") };
        struct cert_info issued;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        for (int verb = 7; verb <= UINT16_MAX; verb = verb * 2 + 1) { /* a signature of bytes, a key: there is no verb for it */
                Cteleport__Internal__V1__HostCertRequest r = host_request(f, "Node");

                assert_refused(requested(f, verb, &r.base, &cteleport__internal__v1__host_certs__descriptor), ERROR_UNIMPLEMENTED, "no verb");
        }
        Cteleport__Internal__V1__HostCertRequest r = host_request(f, "Node");
        AUTO_PTR(error) odd = requested_with(f, &r, "\4true", 5); /* refused, or as if it were not there */
        if (odd == NULL) {
                const Cteleport__Internal__V1__HostCerts *certs = (const void *)f->answer;

                assert_done(cert_read(f->arena, pb_str(certs->tls_cert), &issued));
                assert_false(issued.is_ca);
        }
        for (size_t i = 0; i < 3; i++) {
                r = host_request(f, "Kube");
                r.dns_names = i == 0 ? of_cluster : i == 1 ? any : name;
                r.n_dns_names = 1;
                assert_nothing(requested_with(f, &r, "", 0));
                r = host_request(f, "Node");
                r.principals = i == 0 ? of_cluster : i == 1 ? any : name;
                r.n_principals = 1;
                assert_nothing(requested_with(f, &r, "", 0));
        }
        r = host_request(f, "Node");
        r.ttl_seconds = 100LL * 365 * 24 * 3600;
        assert_nothing(requested_with(f, &r, "", 0));
}

static void answers_a_malformed_request_and_continues(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__HostCertRequest odd = CTELEPORT__INTERNAL__V1__HOST_CERT_REQUEST__INIT;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        odd.role = pb_text("\xff"); /* not UTF-8 */
        assert_refused(requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_HOST, &odd.base,
                             &cteleport__internal__v1__host_certs__descriptor),
                       ERROR_INVALID_ARGUMENT, "");
        assert_done(request_host(f, "Node"));
}

/* In its sandbox it opens no file, and the next certificates are logged as before. */
static void packs_the_log_of_certificates_while_it_serves(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = file_in_ca(f, "issued.log"), *packed = file_in_ca(f, "issued.log.1.gz");
        AUTO(buf) log = BUF_MAX(64 * KiB), lines = BUF_MAX(2 * MiB);
        struct stat st;

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(ended(f), 0);
        while (lines.len < ISSUED_LOG_PLAIN - 100)
                buf_put_c(&lines, "{\"kind\":\"x509\"}\n");
        assert_done(file_write_atomic(path, buf_str(&lines), 0600));
        assert_int_equal(stat(packed, &st), 0);
        assert_int_equal(st.st_size, 0);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_done(request_host(f, "Node"));
        assert_done(request_host(f, "Node"));
        assert_int_equal(stat(packed, &st), 0);
        assert_in_range(st.st_size, 100, 64 * KiB);
        issued_log_of(f, &log);
        assert_true(str_starts_with(buf_str(&log), STR("{\"time\":")));
        assert_int_equal(ended(f), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(makes_a_ca_at_the_first_start_and_keeps_it, set_up, tear_down),
                cmocka_unit_test_setup_teardown(makes_no_ca_for_a_cluster_that_had_one, set_up, tear_down),
                cmocka_unit_test_setup_teardown(begins_no_new_cluster_with_a_ca_in_use, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_a_ca_that_does_not_say_for_one_in_use, set_up, tear_down),
                cmocka_unit_test_setup_teardown(serves_no_other_cluster_than_its_own, set_up, tear_down),
                cmocka_unit_test_setup_teardown(does_not_start_with_a_ca_that_is_damaged, set_up, tear_down),
                cmocka_unit_test_setup_teardown(certifies_a_host_and_records_it_first, set_up, tear_down),
                cmocka_unit_test_setup_teardown(packs_the_log_of_certificates_while_it_serves, set_up, tear_down),
                cmocka_unit_test_setup_teardown(certifies_a_user_with_the_user_ca_only, set_up, tear_down),
                cmocka_unit_test_setup_teardown(records_nothing_when_it_refuses, set_up, tear_down),
                cmocka_unit_test_setup_teardown(begins_a_new_line_behind_one_that_was_torn, set_up, tear_down),
                cmocka_unit_test_setup_teardown(gives_out_no_certificate_that_it_cannot_record, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_certificate_leaves_after_its_line_is_synced, set_up, tear_down),
                cmocka_unit_test_setup_teardown(orders_that_wait_share_a_sync, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ends_when_the_content_of_the_disk_is_unknown, set_up, tear_down),
                cmocka_unit_test_setup_teardown(removes_the_line_that_a_full_disk_cut, set_up, tear_down),
                cmocka_unit_test_setup_teardown(signs_clients_with_the_new_ca_before_servers, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_steps_that_do_not_follow, set_up, tear_down),
                cmocka_unit_test_setup_teardown(certifies_no_key_of_a_new_ca, set_up, tear_down),
                cmocka_unit_test_setup_teardown(knows_no_other_verbs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(gives_a_captured_auth_nothing_beyond_the_profile, set_up, tear_down),
                cmocka_unit_test_setup_teardown(answers_a_malformed_request_and_continues, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("signer", tests, NULL, NULL);
}
