/* SPDX-License-Identifier: Apache-2.0 */
/* tctl auth export, auth crl: the public parts of the cluster's CAs, for other programs. tctl auth rotate: their replacement. */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"
#include "pki/cert.h"
#include "pki/pem.h"
#include "rpc/pb.h"

/* ---- auth export ------------------------------------------------------------------------------------------------ */

/* What --type names: the CA, and the form of its keys. */
static const struct export_type {
        const char *name, *authority, *protocol;
        bool is_der;
} export_types[] = {
        { "host", "host", "SSH" },
        { "user", "user", "SSH" },
        { "tls-host", "host", "TLS" },
        { "tls-user", "user", "TLS" },
        { "tls-user-der", "user", "TLS", .is_der = true },
        { "jwt", "jwt", "JWT" },
};

static const char *const export_choices[] = { "host", "user", "tls-host", "tls-user", "tls-user-der", "jwt", NULL };

const struct flag auth_export_flags[] = {
        { "type", 0, FLAG_TEXT, .value = "TYPE", .choices = export_choices,
          .help = "CA and form: host as a line of known_hosts, user as a line of authorized_keys, tls-host, tls-user and tls-user-der as "
                  "X.509, jwt as public keys in PEM; default: host and user" },
        { "fingerprint", 0, FLAG_TEXT, .value = "SHA256", .help = "Only the SSH key of this fingerprint, as ssh-keygen -l prints it" },
        { "compat", 0, FLAG_TEXT, .value = "VERSION", .help = "1.0: host keys as lines of authorized_keys, as older versions printed them" },
        { NULL },
};

static void put_ssh_fingerprint(struct str wire, struct buf *out)
{
        uint8_t digest[32];

        sha256(wire, digest);
        buf_put_c(out, "SHA256:");
        base64_encode_raw(out, str_of_bytes(digest, sizeof digest));
}

/* Without a fingerprint every key is meant. The prefix "SHA256:" may be omitted. */
static bool is_meant(struct str wire, const char *wanted)
{
        AUTO(buf) fingerprint = BUF_MAX(256);

        if (wanted == NULL)
                return true;
        put_ssh_fingerprint(wire, &fingerprint);
        struct str whole = buf_str(&fingerprint);
        return str_equal(str_of(wanted), whole) || str_equal(str_of(wanted), str_slice(whole, strlen("SHA256:"), whole.len));
}

static struct error *put_ssh_line(struct buf *out, const struct export_type *type, const char *cluster, struct str wire, bool is_compat)
{
        bool is_host = strcmp(type->authority, "host") == 0;

        if (is_host && !is_compat)
                buf_printf(out, "@cert-authority %s,*.%s ", cluster, cluster);
        else
                buf_put_c(out, "cert-authority ");
        TRY(ssh_wire_to_line(wire, out));
        if (is_host && !is_compat)
                buf_put_c(out, " type=host\n");
        else
                buf_printf(out, " clustername=%s&type=%s\n", cluster, type->authority);
        return NULL;
}

static struct error *put_key(struct buf *out, const struct flags *given, const struct export_type *type, const char *cluster,
                             const Cteleport__V1__AuthorityKey *key)
{
        struct str public = pb_str(key->public_);

        if (strcmp(key->protocol, type->protocol) != 0)
                return NULL;
        if (str_is_empty(public))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the Auth Service is of a release that does not send its CAs"),
                                  "update it; the host CA is in the files of a login below ~/.tsh, too");
        if (strcmp(type->protocol, "SSH") == 0)
                return is_meant(public, flags_text(given, "fingerprint"))
                               ? put_ssh_line(out, type, cluster, public, flags_text(given, "compat") != NULL)
                               : NULL;
        if (type->is_der)
                buf_put(out, public);
        else if (strcmp(type->protocol, "JWT") == 0)
                pem_put(out, "PUBLIC KEY", public);
        else
                cert_der_to_pem(public, out);
        return NULL;
}

static struct error *put_type(struct buf *out, const struct flags *given, const struct export_type *type,
                              const Cteleport__V1__ClusterStatusResponse *status)
{
        size_t count = 0;

        for (size_t i = 0; i < status->n_authorities; i++) {
                const Cteleport__V1__AuthorityStatus *authority = status->authorities[i];

                if (strcmp(authority->type, type->authority) != 0)
                        continue;
                for (size_t k = 0; k < authority->n_keys; k++) {
                        count += strcmp(authority->keys[k]->protocol, type->protocol) == 0;
                        if (type->is_der && count > 1)
                                return error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                                            "there are two CAs during a rotation, and DER has no form for a list"),
                                                  "--type=tls-user prints both");
                        TRY(put_key(out, given, type, status->cluster, authority->keys[k]));
                }
        }
        return NULL;
}

static struct error *check_export(const struct flags *given, const struct export_type *type)
{
        const char *compat = flags_text(given, "compat");

        if (compat != NULL && strcmp(compat, "1.0") != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "--compat has one value: 1.0");
        if (flags_text(given, "fingerprint") != NULL && type != NULL && strcmp(type->protocol, "SSH") != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "--fingerprint selects SSH keys, and --type=%s has none", type->name);
        if (type != NULL && type->is_der && isatty(STDOUT_FILENO))
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--type=%s prints bytes, and the output is a terminal", type->name),
                                  "write it to a file: tctl auth export --type=%s > ca.der", type->name);
        return NULL;
}

/* Raw bytes, unlike output_flush(). */
static struct error *write_all(const struct buf *out)
{
        if (fwrite(out->ptr, 1, out->len, stdout) != out->len || fflush(stdout) != 0)
                return error_errno(errno, "cannot write the output");
        return NULL;
}

struct error *auth_export_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(1 * MiB);
        ProtobufCMessage *answer = NULL;
        const char *name = flags_text(given, "type");
        const struct export_type *one = NULL;

        (void)ctx;
        for (size_t i = 0; name != NULL && i < ARRAY_LEN(export_types); i++)
                if (strcmp(name, export_types[i].name) == 0)
                        one = &export_types[i];
        TRY(check_export(given, one));
        TRY(session_open(&s, given));
        TRY(session_request_name(&s, "ClusterStatus", NULL, &cteleport__v1__cluster_status_response__descriptor, &answer));
        const Cteleport__V1__ClusterStatusResponse *status = (Cteleport__V1__ClusterStatusResponse *)answer;
        for (size_t i = 0; i < ARRAY_LEN(export_types); i++)
                if (one == &export_types[i] || (one == NULL && strcmp(export_types[i].protocol, "SSH") == 0))
                        TRY(put_type(&out, given, &export_types[i], status));
        TRY(buf_finish(&out, "the CAs"));
        if (out.len == 0 && flags_text(given, "fingerprint") == NULL)
                return error_hint(error_new(ERROR_NOT_FOUND, "the cluster has no CA of this type yet"), "update the Auth Service");
        if (out.len == 0)
                return error_hint(error_new(ERROR_NOT_FOUND, "no CA has this fingerprint"), "tctl auth export | ssh-keygen -l -f - lists them");
        return write_all(&out);
}

/* ---- auth crl ---------------------------------------------------------------------------------------------------- */

static const char *const crl_choices[] = { "host", "user", NULL };

const struct flag auth_crl_flags[] = {
        { "type", 0, FLAG_TEXT, .value = "TYPE", .choices = crl_choices, .is_required = true, .help = "The CA" },
        { NULL },
};

struct error *auth_crl_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(1 * MiB);
        Cteleport__V1__CreateCrlRequest request = CTELEPORT__V1__CREATE_CRL_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        (void)ctx;
        request.type = pb_text(flags_text(given, "type"));
        TRY(session_open(&s, given));
        TRY(session_request(&s, "CreateCrl", &request.base, &cteleport__v1__create_crl_response__descriptor, &answer));
        const Cteleport__V1__CreateCrlResponse *response = (Cteleport__V1__CreateCrlResponse *)answer;
        for (size_t i = 0; i < response->n_crls; i++)
                crl_der_to_pem(pb_str(response->crls[i]), &out);
        TRY(buf_finish(&out, "the list of revoked certificates"));
        return write_all(&out);
}

/* ---- auth rotate -------------------------------------------------------------------------------------------------- */

static const char *const rotate_types[] = { "host", "user", "jwt", NULL };
static const char *const rotate_phases[] = { "init", "update_clients", "update_servers", "standby", "rollback", NULL };

const struct flag auth_rotate_flags[] = {
        { "type", 0, FLAG_TEXT, .value = "TYPE", .choices = rotate_types, .is_required = true, .help = "The CA" },
        { "manual", 0, FLAG_SWITCH, .help = "Each phase is begun by this command with --phase" },
        { "phase", 0, FLAG_TEXT, .value = "PHASE", .choices = rotate_phases, .help = "The phase to begin" },
        { "grace-period", 0, FLAG_TEXT, .value = "DURATION", .fallback = "30h", .help = "Time of the whole rotation; each phase has a third of it" },
        { "force", 0, FLAG_SWITCH, .help = "Begin the phase although connected hosts have not taken over the last one" },
        { NULL },
};

static struct error *take_rotation(const struct flags *given, Cteleport__V1__RotateRequest *m)
{
        const char *phase = flags_text(given, "phase");
        bool is_manual = flags_switch(given, "manual");
        struct duration grace;

        TRY(flags_parse_duration("grace-period", flags_text(given, "grace-period"), &grace));
        if (is_manual && phase == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--manual needs the phase"), "the first is --phase=init");
        if (is_manual && flags_given(given, "grace-period"))
                return error_new(ERROR_INVALID_ARGUMENT, "a rotation by --manual has no --grace-period: its phases do not end by themselves");
        m->type = pb_text(flags_text(given, "type"));
        m->phase = pb_text(phase == NULL ? "init" : phase);
        m->mode = pb_text(is_manual ? "manual" : "auto");
        m->grace_seconds = grace.ns / SECONDS(1).ns;
        m->force = flags_switch(given, "force");
        return NULL;
}

struct error *auth_rotate_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(1 * KiB);
        Cteleport__V1__RotateRequest request = CTELEPORT__V1__ROTATE_REQUEST__INIT;
        ProtobufCMessage *answer = NULL;

        (void)ctx;
        TRY(take_rotation(given, &request));
        TRY(session_open(&s, given));
        TRY(session_request(&s, "RotateAuthority", &request.base, &cteleport__v1__authority_status__descriptor, &answer));
        if (flags_text(given, "phase") != NULL)
                buf_printf(&out, "Updated rotation phase to \"%s\". To check status use 'tctl status'\n",
                           ((Cteleport__V1__AuthorityStatus *)answer)->phase);
        else
                buf_printf(&out, "Initiated certificate authority rotation. To check status use 'tctl status'\n");
        return output_flush(&out);
}
