/* SPDX-License-Identifier: Apache-2.0 */
#include "join/legacy_client.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "join/legacy.h"
#include "join/method.h"
#include "rpc/pb.h"

enum { PUBLIC_KEY_MAX = 4 * KiB };

const struct join_method *legacy_method(void)
{
        return join_method_find(STR("iam"));
}

struct rpc_client_call *legacy_call(struct rpc_client *client, const struct rpc_client_events *events, void *ctx)
{
        return rpc_client_call(client,
                               (struct rpc_client_call_options){
                                       .path = JOIN_LEGACY_PATH,
                                       .response = JOIN_LEGACY_RESPONSE,
                                       .response_max = LIMIT_RPC_JOIN,
                                       .within = MILLISECONDS(TIMEOUT_JOIN),
                               },
                               events, ctx);
}

const Teleport__Join__V1__Challenge *legacy_read_challenge(struct arena *a, const ProtobufCMessage *answer)
{
        const Proto__RegisterUsingIAMMethodResponse *r = (const Proto__RegisterUsingIAMMethodResponse *)answer;
        if (str_is_empty(str_of(r->challenge)))
                return NULL;
        Teleport__Join__V1__Challenge *challenge = arena_alloc(a, sizeof *challenge);
        Teleport__Join__V1__IAMChallenge *iam = arena_alloc(a, sizeof *iam);
        teleport__join__v1__challenge__init(challenge);
        teleport__join__v1__iamchallenge__init(iam);
        iam->challenge = r->challenge;
        challenge->payload_case = TELEPORT__JOIN__V1__CHALLENGE__PAYLOAD_IAM_CHALLENGE;
        challenge->iam_challenge = iam;
        return challenge;
}

/* An authorized_keys line: kind, blank, base64 of the wire form, which begins with the kind again. */
static struct error *put_ssh_line(const struct key *k, struct buf *out)
{
        AUTO(buf) wire = BUF_MAX(PUBLIC_KEY_MAX);
        TRY(key_public_ssh(k, &wire));
        buf_put_c(out, "ssh-ed25519 ");
        base64_encode(out, buf_str(&wire));
        buf_put_char(out, '\n');
        return buf_finish(out, "our SSH key");
}

struct error *legacy_send_request(struct rpc_client_call *call, const struct join_client_options *options,
                                  struct str host_id, const struct host_keys *keys, struct str proof)
{
        AUTO(buf) tls = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) ssh = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) id = BUF_MAX(LIMIT_NAME);
        TRY(key_public_pem(&keys->tls, &tls));
        TRY(put_ssh_line(&keys->ssh, &ssh));
        buf_put(&id, host_id);

        Proto__RegisterUsingTokenRequest token = PROTO__REGISTER_USING_TOKEN_REQUEST__INIT;
        token.hostid = (char *)buf_c(&id);
        token.nodename = (char *)options->host_name;
        token.role = (char *)(options->legacy_role == NULL ? "Instance" : options->legacy_role);
        token.token = (char *)options->token_name;
        token.n_additionalprincipals = join_count_names(options->principals);
        token.additionalprincipals = (char **)options->principals;
        token.n_dnsnames = join_count_names(options->dns_names);
        token.dnsnames = (char **)options->dns_names;
        token.publictlskey = (ProtobufCBinaryData){ tls.len, (uint8_t *)tls.ptr };
        token.publicsshkey = (ProtobufCBinaryData){ ssh.len, (uint8_t *)ssh.ptr };
        Proto__RegisterUsingIAMMethodRequest request = PROTO__REGISTER_USING_IAMMETHOD_REQUEST__INIT;
        request.register_using_token_request = &token;
        request.sts_identity_request = (ProtobufCBinaryData){ proof.len, (uint8_t *)proof.ptr };
        rpc_client_send(call, &request.base);
        return NULL;
}

/* The second field of an authorized_keys line (or of a certificate in that form), decoded. */
static struct error *read_ssh_line(struct arena *a, ProtobufCBinaryData line, struct str *ret)
{
        struct str rest = str_trim(pb_str(line));
        struct str kind = str_split(&rest, ' ');
        struct str text = str_split(&rest, ' ');
        AUTO(buf) wire = BUF_MAX(LIMIT_RPC_JOIN / 4);
        if (str_is_empty(kind) || str_is_empty(text))
                return error_new(ERROR_INVALID_ARGUMENT, "an SSH key of the cluster is not in authorized_keys form");
        TRY(base64_decode(&wire, text));
        *ret = arena_str(a, buf_str(&wire));
        return NULL;
}

static struct error *read_pem(struct arena *a, ProtobufCBinaryData pem, struct str *ret)
{
        AUTO(buf) der = BUF_MAX(LIMIT_RPC_JOIN / 4);
        TRY(cert_pem_to_der(pb_str(pem), &der));
        *ret = arena_str(a, buf_str(&der));
        return NULL;
}

struct error *legacy_read_certs(struct arena *a, const ProtobufCMessage *answer, struct host_certificates *ret, bool *ret_has)
{
        const Proto__Certs *certs = ((const Proto__RegisterUsingIAMMethodResponse *)answer)->certs;
        struct host_certificates made = { 0 };
        *ret_has = certs != NULL;
        if (certs == NULL)
                return NULL;
        if (certs->n_tlscacerts > HOST_CAS_MAX || certs->n_sshcacerts > HOST_CAS_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the cluster sent more than %d CAs", HOST_CAS_MAX);
        TRY(read_pem(a, certs->tls, &made.tls_cert));
        if (certs->ssh.len > 0) /* only role Node has one */
                TRY(read_ssh_line(a, certs->ssh, &made.ssh_cert));
        for (size_t i = 0; i < certs->n_tlscacerts; i++)
                TRY(read_pem(a, certs->tlscacerts[i], &made.tls_ca_certs[made.tls_ca_count++]));
        for (size_t i = 0; i < certs->n_sshcacerts; i++)
                TRY(read_ssh_line(a, certs->sshcacerts[i], &made.ssh_ca_keys[made.ssh_ca_count++]));
        *ret = made;
        return NULL;
}
