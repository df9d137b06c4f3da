/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report_stream.h"
#include "rpc/pb.h"

void report_stream_close(struct report_stream *a, uint64_t bytes_to_client, uint64_t bytes_from_client, const char *reason)
{
        Cteleport__V1__ReportClosed closed = CTELEPORT__V1__REPORT_CLOSED__INIT;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;

        closed.bytes_to_client = bytes_to_client;
        closed.bytes_from_client = bytes_from_client;
        if (reason != NULL)
                closed.reason = pb_text(reason);
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_CLOSED;
        up.closed = &closed;
        report_stream_send(a, &up, NULL, NULL);
        report_stream_finish(a);
}
