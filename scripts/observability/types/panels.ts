// What the JSON of a dashboard must be, from the types of npm @grafana/schema: those of the dashboard, and for each type of panel
// those of its options, its fields and its queries.
import type * as schema from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as prometheus from 'prometheus-query';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as states from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// Enumerations of strings are strings in JSON, null stands for minus infinity in thresholds, and for "none" as the id.
type Json<T> = T extends string
  ? `${T}`
  : T extends Array<infer Item>
    ? Array<Json<Item>>
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

type FieldDefaults<Custom> = Omit<schema.FieldConfig, 'custom' | 'thresholds' | 'min'> & {
  custom?: Partial<Custom>;
  min?: number | null;
  thresholds?: { mode: schema.ThresholdsMode; steps: Array<{ color: string; value: number | null }> };
};

interface PanelOf<Type extends string, Options, Custom>
  extends Omit<schema.Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'title' | 'description' | 'id' | 'gridPos'> {
  type: Type;
  title: string;
  description: string;
  id: number;
  gridPos: schema.GridPos;
  options: Options;
  fieldConfig: { defaults: FieldDefaults<Custom>; overrides: schema.FieldConfigSource['overrides'] };
  targets: prometheus.PrometheusDataQuery[];
}

// Members that are left out here are required by the types, and have defaults.
type AnyPanel =
  | PanelOf<'stat', Omit<stat.Options, 'showPercentChange' | 'percentChangeColorMode'>, {}>
  | PanelOf<'bargauge', Omit<bargauge.Options, 'legend'>, {}>
  | PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | PanelOf<'state-timeline', states.Options, states.FieldConfig & { spanNulls: boolean }>
  | PanelOf<'table', Omit<table.Options, 'frameIndex'>, Omit<table.FieldConfig, 'cellOptions'> & { cellOptions: object }>
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | (Omit<PanelOf<'text', text.Options, {}>, 'fieldConfig' | 'targets'>)
  | schema.RowPanel;

// The schema lacks members that Grafana reads: `definition` of variables, and the options of annotations by Prometheus.
type Variable = Omit<schema.VariableModel, 'current' | 'datasource'> & {
  datasource?: schema.DataSourceRef;
  definition?: string;
  current: { selected: boolean; text: string | string[]; value: string | string[] };
};
type Annotation = Omit<schema.AnnotationQuery, 'target'> & {
  expr?: string;
  step?: string;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
  useValueForTime?: 'on';
};

export type DashboardJson = Json<
  Omit<schema.Dashboard, 'id' | 'panels' | 'templating' | 'annotations' | 'uid' | 'schemaVersion' | 'editable' | 'graphTooltip'> & {
    templating: { list: Variable[] };
    annotations: { list: Annotation[] };
    panels: AnyPanel[];
  }
> & {
  // The form in which a dashboard can be imported anywhere, and provisioned again.
  id: null;
  uid: string;
  schemaVersion: 39;
  editable: false;
  graphTooltip: 1;
};
