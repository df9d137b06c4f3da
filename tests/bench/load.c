/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "aws/identity_request.h"
#include "base/bug.h"
#include "base/mem.h"
#include "join/client.h"
#include "net/socket.h"
#include "net/tls.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "sts_stand_in.h"

enum { PUBLIC_KEY_ROOM = 4 * KiB };

struct agent {
        struct load *load;
        struct instant start;
        char *name;
        struct rpc_client *client;
        struct rpc_client_call *call;
};

static void agent_begin(struct load *c);

/* The client is closed after its last callback, not in it. */
static void agent_end(void *ctx)
{
        struct agent *a = ctx;
        struct load *c = a->load;

        rpc_client_close(a->client);
        free(a->name);
        free(a);
        c->under_way--;
        if (c->started < c->wanted)
                agent_begin(c);
        else if (c->under_way == 0)
                loop_stop(&c->loop);
}

/* ---- the conversation: docs/protocols/join.md has the steps -------------------------------------------------- */

static void send_init(struct agent *a)
{
        Teleport__Join__V1__ClientInit init = TELEPORT__JOIN__V1__CLIENT_INIT__INIT;
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;

        init.join_method = (char[]){ "iam" };
        init.token_name = pb_text(a->load->token);
        init.system_role = (char[]){ "Instance" };
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_CLIENT_INIT;
        request.client_init = &init;
        rpc_client_send(a->call, &request.base);
}

static void send_params(struct agent *a)
{
        struct load *c = a->load;
        Teleport__Join__V1__PublicKeys keys = TELEPORT__JOIN__V1__PUBLIC_KEYS__INIT;
        Teleport__Join__V1__HostParams host = TELEPORT__JOIN__V1__HOST_PARAMS__INIT;
        Teleport__Join__V1__ClientParams params = TELEPORT__JOIN__V1__CLIENT_PARAMS__INIT;
        Teleport__Join__V1__IAMInit iam = TELEPORT__JOIN__V1__IAMINIT__INIT;
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;

        keys.public_tls_key = (ProtobufCBinaryData){ c->tls_public.len, (uint8_t *)c->tls_public.ptr };
        keys.public_ssh_key = (ProtobufCBinaryData){ c->ssh_public.len, (uint8_t *)c->ssh_public.ptr };
        host.public_keys = &keys;
        host.host_name = a->name;
        params.payload_case = TELEPORT__JOIN__V1__CLIENT_PARAMS__PAYLOAD_HOST_PARAMS;
        params.host_params = &host;
        iam.client_params = &params;
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_IAM_INIT;
        request.iam_init = &iam;
        rpc_client_send(a->call, &request.base);
}

static void send_proof(struct agent *a, struct str challenge)
{
        AUTO(buf) proof = BUF_MAX(LIMIT_STS_REQUEST);
        Teleport__Join__V1__IAMChallengeSolution iam = TELEPORT__JOIN__V1__IAMCHALLENGE_SOLUTION__INIT;
        Teleport__Join__V1__ChallengeSolution solution = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__INIT;
        Teleport__Join__V1__JoinRequest request = TELEPORT__JOIN__V1__JOIN_REQUEST__INIT;

        must(aws_identity_request(&a->load->aws, challenge, (struct str){ 0 }, loop_wall(&a->load->loop), &proof));
        iam.sts_identity_request = (ProtobufCBinaryData){ proof.len, (uint8_t *)proof.ptr };
        solution.payload_case = TELEPORT__JOIN__V1__CHALLENGE_SOLUTION__PAYLOAD_IAM_CHALLENGE_SOLUTION;
        solution.iam_challenge_solution = &iam;
        request.payload_case = TELEPORT__JOIN__V1__JOIN_REQUEST__PAYLOAD_SOLUTION;
        request.solution = &solution;
        rpc_client_send(a->call, &request.base);
}

static void take_result(struct agent *a, const Teleport__Join__V1__HostResult *result)
{
        struct load *c = a->load;

        sample_add(&c->latency_ms, seconds_since(a->start) * 1e3);
        c->joined++;
        if (c->on_joined != NULL)
                c->on_joined(c->ctx, result);
        rpc_client_half_close(a->call);
}

static void on_message(void *ctx, const ProtobufCMessage *msg)
{
        const Teleport__Join__V1__JoinResponse *r = (const Teleport__Join__V1__JoinResponse *)msg;

        if (r->payload_case == TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_INIT)
                send_params(ctx);
        else if (r->payload_case == TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_CHALLENGE)
                send_proof(ctx, str_of(r->challenge->iam_challenge->challenge));
        else if (r->payload_case == TELEPORT__JOIN__V1__JOIN_RESPONSE__PAYLOAD_RESULT)
                take_result(ctx, r->result->host_result);
        else
                bug("the cluster sent an unexpected message");
}

static void on_done(void *ctx, struct error *err)
{
        struct agent *a = ctx;

        must(err);
        loop_defer(&a->load->loop, agent_end, a);
}

static const struct rpc_client_events call_events = { .on_message = on_message, .on_done = on_done };

static void on_lost(void *ctx, struct error *err)
{
        (void)ctx;
        must(err);
}

static void on_handshake(void *ctx, struct stream *tls, struct error *err)
{
        struct agent *a = ctx;

        must(err);
        a->client = rpc_client_new(&a->load->loop, tls, "proxy", on_lost, a);
        a->call = rpc_client_call(a->client,
                                  (struct rpc_client_call_options){
                                          .path = "/teleport.join.v1.JoinService/Join",
                                          .response = &teleport__join__v1__join_response__descriptor,
                                          .response_max = LIMIT_RPC_JOIN,
                                          .within = MILLISECONDS(TIMEOUT_JOIN),
                                  },
                                  &call_events, a);
        send_init(a);
}

/* ---- the agents ------------------------------------------------------------------------------------------------- */

/*
 * Each simulated agent has its own address, as real ones do: all of 127.0.0.0/8 is this machine. On loopback
 * a connection is established at once.
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

static void agent_begin(struct load *c)
{
        static size_t serial; /* names are unique in a cluster */
        struct agent *a = NEW(struct agent);
        int fd = dial_from_own_address(c->proxy, serial);

        a->load = c;
        a->start = loop_now(&c->loop);
        a->name = mem_printf("bench-%zu", serial++);
        c->started++;
        c->under_way++;
        (void)!tls_start(&c->loop, c->tls, socket_stream(&c->loop, fd), NULL, SECONDS(10), on_handshake, a);
}

void load_init(struct load *c, const char *proxy, const char *token)
{
        static const char *const alpn[] = { "teleport-proxy-grpc", "h2", NULL };

        *c = (struct load){ .proxy = proxy, .token = token, .tls_public = BUF_MAX(PUBLIC_KEY_ROOM), .ssh_public = BUF_MAX(PUBLIC_KEY_ROOM) };
        c->aws.credentials.access_key_id = secret_of(STR("ASIAEXAMPLE000000000"));
        c->aws.credentials.secret_access_key = secret_of(STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
        c->aws.credentials.session_token = secret_of(STR("IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIEXAMPLE"));
        c->aws.region = str_dup(STR(STAND_IN_REGION));
        if (!sts_host_find(STR("sts." STAND_IN_REGION ".amazonaws.com"), &(struct sts_host_options){ 0 }, &c->aws.sts))
                bug("STS has no host in " STAND_IN_REGION);
        must(host_keys_generate(&c->keys));
        must(key_public_der(&c->keys.tls, &c->tls_public));
        must(key_public_ssh(&c->keys.ssh, &c->ssh_public));
        must(loop_init(&c->loop, NULL));
        must(tls_context_new((struct tls_options){ .peer = TLS_PEER_INSECURE, .alpn = alpn }, &c->tls));
}

void load_release(struct load *c)
{
        sample_release(&c->latency_ms);
        aws_resolution_release(&c->aws);
        host_keys_release(&c->keys);
        buf_release(&c->tls_public);
        buf_release(&c->ssh_public);
        tls_context_free(c->tls);
        loop_release(&c->loop);
}

void load_join(struct load *c, size_t at_once, size_t count)
{
        c->started = 0;
        c->wanted = count;
        while (c->under_way < at_once && c->started < c->wanted)
                agent_begin(c);
        loop_run(&c->loop);
}

void load_take_identity(struct load *c, const Teleport__Join__V1__HostResult *result, struct host_identity *ret)
{
        struct host_certificates certs;

        must(host_certificates_of(&certs, result->certificates));
        must(host_identity_make(ret, &c->keys, &certs, (struct host_expectation){ .role = STR("Instance"), .host_id = str_of(result->host_id) }));
}
