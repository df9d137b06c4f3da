/* SPDX-License-Identifier: Apache-2.0 */
#include "app/targets.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "net/socket.h"

/*
 * The metadata services of AWS, Azure, Google and OpenStack; AWS's and Google's by IPv6; those of Alibaba, Tencent and Scaleway; AWS's for containers and EKS
 * pods; and the server that gives an Azure host its secrets.
 */
static const char *const metadata_services[] = { "169.254.169.254", "fd00:ec2::254",  "fd20:ce::254", "100.100.100.200", "169.254.0.23",  "169.254.42.42",
                                                 "fd00:42::42",     "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "168.63.129.16" };

void app_targets_init(struct app_targets *t, const Cteleport__V1__AppServiceConfig *service)
{
        bool are_allowed = service->n_allowed_hosts > 0;
        char **texts = are_allowed ? service->allowed_hosts : service->denied_hosts;
        size_t count = are_allowed ? service->n_allowed_hosts : service->n_denied_hosts;

        *t = (struct app_targets){ .networks = mem_array(count, sizeof(struct network)), .are_allowed = are_allowed };
        for (size_t i = 0; i < count; i++) {
                struct error *err = network_parse(str_of(texts[i]), &t->networks[t->count]);

                if (err == NULL)
                        t->count++;
                error_free(err);
        }
}

void app_targets_release(struct app_targets *t)
{
        free(t->networks);
        *t = (struct app_targets){ 0 };
}

static bool is_metadata_service(const struct ip_address *ip)
{
        for (size_t i = 0; i < ARRAY_LEN(metadata_services); i++) {
                struct ip_address known;

                if (ip_parse(str_of(metadata_services[i]), &known) && ip_has_prefix(ip, &known, 8 * known.len))
                        return true;
        }
        return false;
}

/* Where an IPv6 address of a translator or of a tunnel has the IPv4 address to which it leads. */
static const struct {
        const char *prefix;
        size_t bits;
        uint8_t at[IPV4_SIZE];
} embeddings[] = {
        { "64:ff9b::", 96, { 12, 13, 14, 15 } }, /* NAT64 (RFC 6052) */
        { "64:ff9b:1::", 48, { 6, 7, 9, 10 } },  /* NAT64 with a prefix of the operator's choice (RFC 8215), of each length of RFC 6052 section 2.2 */
        { "64:ff9b:1::", 48, { 7, 9, 10, 11 } },
        { "64:ff9b:1::", 48, { 9, 10, 11, 12 } },
        { "64:ff9b:1::", 48, { 12, 13, 14, 15 } },
        { "2002::", 16, { 2, 3, 4, 5 } }, /* 6to4 */
};

static bool is_listed(const struct app_targets *t, const struct ip_address *ip)
{
        for (size_t i = 0; i < t->count; i++)
                if (network_has(&t->networks[i], ip))
                        return true;
        return false;
}

static bool is_denied(const struct app_targets *t, const struct ip_address *ip)
{
        return is_listed(t, ip) || is_metadata_service(ip);
}

/* Whether an IPv6 address ends in an IPv4 address of a metadata service: NAT64 with other prefixes, ISATAP, and some clouds' own addresses of it. */
static bool ends_in_metadata_service(const struct ip_address *ip)
{
        struct ip_address end;

        if (ip->len != IPV6_SIZE)
                return false;
        end = ip_of_bytes(ip->bytes + IPV6_SIZE - IPV4_SIZE, IPV4_SIZE);
        return is_metadata_service(&end);
}

bool app_targets_permit(const struct app_targets *t, const struct ip_address *ip)
{
        if (t->are_allowed)
                return is_listed(t, ip);
        if (is_denied(t, ip) || ends_in_metadata_service(ip))
                return false;
        for (size_t i = 0; i < ARRAY_LEN(embeddings) && ip->len == IPV6_SIZE; i++) {
                struct ip_address prefix, inner = { .len = IPV4_SIZE };

                for (size_t n = 0; n < IPV4_SIZE; n++)
                        inner.bytes[n] = ip->bytes[embeddings[i].at[n]];
                if (ip_parse(str_of(embeddings[i].prefix), &prefix) && ip_has_prefix(ip, &prefix, embeddings[i].bits) && is_denied(t, &inner))
                        return false;
        }
        return true;
}

static bool permits(const void *ctx, const struct ip_address *ip)
{
        return app_targets_permit(ctx, ip);
}

struct dial *app_targets_dial(const struct app_targets *t, struct loop *l, const char *target, void (*done)(void *ctx, int fd, struct error *err), void *ctx)
{
        struct dial *d = dial_start(l, str_of(target), MILLISECONDS(TIMEOUT_APP_DIAL), done, ctx);

        dial_permit(d, permits, t);
        return d;
}
